#include "transports/faulty.hpp"

#include <algorithm>
#include <utility>

#include "base/clock.hpp"

namespace penstock {
namespace {

[[nodiscard]] bool happens(std::mt19937_64& random, double chance) {
    // Drawn even when it cannot happen: one fault then does not shift the others.
    return std::uniform_real_distribution<double>{0, 1}(random) < chance;
}

}  // namespace

Faulty::Stream& Faulty::stream_of(Rank peer) {
    const auto found = streams_.find(peer);
    if (found != streams_.end()) return found->second;
    return streams_.emplace(peer, Stream{std::mt19937_64{faults_.seed * 1'000'003 + peer}, {}, false}).first->second;
}

void Faulty::on_frame(Rank from, std::span<const std::byte> frame) {
    Stream& stream = stream_of(from);
    const bool dropped = happens(stream.random, faults_.drop);
    const bool truncated = happens(stream.random, faults_.truncate);
    const bool duplicated = happens(stream.random, faults_.duplicate);
    const bool swapped = happens(stream.random, faults_.swap);
    const auto length =
        std::uniform_int_distribution<std::size_t>{1, std::max<std::size_t>(frame.size() - 1, 1)}(stream.random);
    if (dropped) return;
    if (truncated) frame = frame.first(length);
    const std::vector<std::byte> bytes{frame.begin(), frame.end()};
    const bool last_waits = std::exchange(stream.swap_last, false);
    hold(stream, bytes);
    if (duplicated) hold(stream, bytes);
    if (last_waits) {
        // The one that waited goes behind the new ones, and goes when they do.
        const auto waiting = stream.held.end() - (duplicated ? 3 : 2);
        waiting->due = stream.held.back().due;
        std::rotate(waiting, waiting + 1, stream.held.end());
    } else if (swapped) {
        stream.swap_last = true;
        stream.held.back().due += longest_swap;
    }
}

void Faulty::hold(Stream& stream, std::vector<std::byte> bytes) {
    const std::chrono::microseconds delay{
        std::uniform_int_distribution<std::int64_t>{0, faults_.delay.count()}(stream.random)};
    stream.held.push_back({std::move(bytes), SteadyClock::now() + delay});
}

void Faulty::on_fetched(std::uint64_t token, std::string_view error) {
    ++passed_on_;
    events_->on_fetched(token, error);
}

void Faulty::on_lost(Rank peer, std::string_view reason) {
    for (const Held& frame : std::exchange(stream_of(peer).held, {})) {
        ++passed_on_;
        events_->on_frame(peer, frame.bytes);
    }
    ++passed_on_;
    events_->on_lost(peer, reason);
}

std::size_t Faulty::poll(TransportEvents& events) {
    events_ = &events;
    passed_on_ = 0;
    inner_->poll(*this);
    deliver(SteadyClock::now());
    return passed_on_;
}

void Faulty::deliver(SteadyClock::time_point until) {
    for (auto& [peer, stream] : streams_) {
        while (!stream.held.empty() && stream.held.front().due <= until) {
            const Held frame = std::move(stream.held.front());
            stream.held.pop_front();
            if (stream.held.empty()) stream.swap_last = false;
            ++passed_on_;
            events_->on_frame(peer, frame.bytes);
        }
    }
}

void Faulty::wait(std::chrono::nanoseconds timeout) {
    shorten(timeout);
    if (timeout > std::chrono::nanoseconds::zero()) inner_->wait(timeout);
}

int Faulty::arm(std::chrono::nanoseconds& timeout) {
    shorten(timeout);
    return inner_->arm(timeout);
}

void Faulty::shorten(std::chrono::nanoseconds& timeout) const {
    for (const auto& [peer, stream] : streams_) {
        if (!stream.held.empty())
            timeout = std::min<std::chrono::nanoseconds>(timeout, stream.held.front().due - SteadyClock::now());
    }
}

}  // namespace penstock
