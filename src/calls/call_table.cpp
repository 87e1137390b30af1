#include "calls/call_table.hpp"

#include <string>
#include <utility>

#include "base/format.hpp"

namespace penstock {
namespace {

constexpr unsigned place_bits = 32;

[[nodiscard]] Error no_answer() {
    return Error{Errc::failed,
                 "the graph is done with the call and has not answered: a stage dropped it, or its answer was given a "
                 "user id of its own"};
}

}  // namespace

CallTable::CallTable(std::size_t most_in_flight) : places_(most_in_flight) {
    free_places_.reserve(most_in_flight);
    for (std::size_t i = most_in_flight; i-- > 0;) free_places_.push_back(static_cast<std::uint32_t>(i));
}

Call* CallTable::begin(SteadyClock::time_point deadline, std::optional<std::uint64_t> user_id) {
    std::unique_lock lock{mutex_};
    const bool has_place = left_.wait_until(lock, deadline, [&] { return over_ || !free_places_.empty(); });
    if (over_) throw Error{*over_};
    if (!has_place) {
        throw Error{Errc::timed_out, "not called: " + std::to_string(places_.size()) +
                                         " calls are in flight, and none ended in time; call less often or raise "
                                         "RunnerOptions::most_in_flight"};
    }
    if (free_calls_.empty()) {
        calls_.push_back(std::make_unique<Call>());
        free_calls_.reserve(calls_.size());
        free_calls_.push_back(calls_.back().get());
    }
    Call& call = *free_calls_.back();
    free_calls_.pop_back();
    const std::uint32_t index = free_places_.back();
    free_places_.pop_back();
    Place& place = places_[index];
    place.call = &call;
    ++place.uses;
    call.id = std::uint64_t{place.uses} << place_bits | index;
    call.begun = SteadyClock::now();
    call.deadline = deadline;
    call.user_id = user_id;
    call.ended = false;
    call.held = true;
    call.in_flight = true;
    ++counts_.begun;
    ++counts_.in_flight;
    return &call;
}

Call* CallTable::find(std::uint64_t id) noexcept {
    const std::size_t index = id & ((std::uint64_t{1} << place_bits) - 1);
    if (index >= places_.size()) return nullptr;
    Call* call = places_[index].call;
    return call != nullptr && call->id == id ? call : nullptr;
}

std::optional<CallTable::Expected> CallTable::expects(std::optional<std::uint64_t> id) {
    const std::lock_guard lock{mutex_};
    const Call* call = id ? find(*id) : nullptr;
    if (call != nullptr && !call->ended) return Expected{call->user_id ? call->user_id : std::optional{call->id}};
    ++counts_.unasked;
    return std::nullopt;
}

void CallTable::answer(std::uint64_t id, Payload answer) {
    // What is dropped here is dropped without the lock: that may wake others.
    const std::lock_guard lock{mutex_};
    Call* call = find(id);
    if (call == nullptr || call->ended) return;
    call->answer = std::move(answer);
    call->ended = true;
    ++counts_.answered;
    call->changed.notify_all();
    leave(*call);
}

void CallTable::fail(std::uint64_t id, const Error& error) {
    const std::lock_guard lock{mutex_};
    Call* call = find(id);
    if (call == nullptr) return;
    end_one(*call, error);
    leave(*call);
}

void CallTable::settle(std::uint64_t id) {
    const std::lock_guard lock{mutex_};
    Call* call = find(id);
    if (call == nullptr) return;
    if (!call->ended) end_one(*call, no_answer());
    leave(*call);
}

void CallTable::end(const Error& error) {
    const std::lock_guard lock{mutex_};
    over_ = error;
    for (const Place& place : places_) {
        if (place.call == nullptr) continue;
        end_one(*place.call, error);
        leave(*place.call);
    }
    left_.notify_all();
}

void CallTable::end_one(Call& call, const Error& error) {
    if (call.ended) return;
    call.failure = error;
    call.ended = true;
    ++counts_.failed;
    call.changed.notify_all();
}

/// The graph has nothing more to do with it.
void CallTable::leave(Call& call) noexcept {
    const auto index = static_cast<std::uint32_t>(call.id & ((std::uint64_t{1} << place_bits) - 1));
    places_[index].call = nullptr;
    free_places_.push_back(index);
    call.in_flight = false;
    --counts_.in_flight;
    left_.notify_one();
    recycle_if_free(call);
}

void CallTable::recycle_if_free(Call& call) noexcept {
    if (!call.held && !call.in_flight) free_calls_.push_back(&call);
}

bool CallTable::wait(Call& call) {
    std::unique_lock lock{mutex_};
    return call.changed.wait_until(lock, call.deadline, [&] { return call.ended; });
}

bool CallTable::has_ended(const Call& call) {
    const std::lock_guard lock{mutex_};
    return call.ended || SteadyClock::now() >= call.deadline;
}

void CallTable::give_up(Call& call, const Error& error) {
    const std::lock_guard lock{mutex_};
    end_one(call, error);
}

Payload CallTable::result(Call& call) {
    const std::lock_guard lock{mutex_};
    if (call.failure) throw Error{*call.failure};
    return std::move(call.answer);
}

void CallTable::release(Call* call) {
    Payload unwanted;  // dropped without the lock
    const std::lock_guard lock{mutex_};
    unwanted = std::move(call->answer);
    call->failure.reset();
    if (!call->ended) {
        call->ended = true;
        ++counts_.failed;
    }
    call->held = false;
    recycle_if_free(*call);
}

CallCounts CallTable::counts() {
    const std::lock_guard lock{mutex_};
    return counts_;
}

}  // namespace penstock
