#include "doctor/stream_end.hpp"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "base/format.hpp"
#include "doctor/figures.hpp"

namespace penstock::doctor {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t bytes_under_way = std::size_t{2} << 20U;
/// Payloads on their way besides those that are fetched.
constexpr std::size_t waiting = 4;
constexpr std::chrono::nanoseconds pause_time = 50us;
constexpr std::chrono::nanoseconds spin_time = 1ms;
constexpr std::chrono::nanoseconds longest_nap = 1ms;

}  // namespace

template <class Done>
void StreamEnd::wait_until(std::chrono::nanoseconds time, Done&& done) {
    const auto deadline = deadline_in(time);
    while (!done()) {
        const bool heard = transport_.poll(*this) != 0;
        if (!lost_.empty()) {
            throw Error{Errc::disconnected, fmt::format("{} over {}: {}", peer_name_, transport_.name(), lost_)};
        }
        if (heard) {
            last_event_ = SteadyClock::now();
        } else if (SteadyClock::now() > deadline) {
            throw Error{Errc::timed_out, fmt::format("{} did not answer over {} within {}", peer_name_,
                                                     transport_.name(), format_duration(time))};
        } else {
            idle();
        }
    }
}

StreamEnd::StreamEnd(Transport& transport, Rank self, Rank peer, std::string peer_name, const Stores& stores,
                     std::chrono::nanoseconds patience)
    : transport_{transport},
      self_{self},
      peer_{peer},
      peer_name_{std::move(peer_name)},
      stores_{stores},
      patience_{patience} {
    transport_.connect(peer_);
}

double StreamEnd::measure(const Load& load, std::chrono::nanoseconds time) {
    begin(load);
    const std::uint64_t window =
        std::clamp<std::uint64_t>(bytes_under_way / load.bytes, load.thresholds.in_flight + waiting, most_under_way);
    send({.kind = Kind::stream,
          .is_inline = load.is_inline,
          .count = window,
          .blob = {self_, 0, load.bytes},
          .thresholds = load.thresholds});
    wait_until(patience_, [&] {
        grant(window / 4);
        return consumed_ >= window / 2;
    });
    const std::uint64_t before = consumed_;
    const auto start = SteadyClock::now();
    wait_until(patience_ + time, [&] {
        grant(window / 4);
        return SteadyClock::now() - start >= time && consumed_ > before;
    });
    const double rate = static_cast<double>((consumed_ - before) * load.bytes) / seconds(SteadyClock::now() - start);
    send({.kind = Kind::stop});
    wait_until(patience_, [&] { return total_ && consumed_ == *total_; });
    return rate;
}

void StreamEnd::end() {
    send({.kind = Kind::leave});
    wait_until(patience_, [&] { return transport_.drained(); });
}

void StreamEnd::follow(std::chrono::nanoseconds bound) {
    while (!leaves_) {
        wait_until(bound, [&] { return leaves_ || order_.has_value(); });
        if (leaves_) break;
        const Message order = *std::exchange(order_, std::nullopt);
        begin({.thresholds = order.thresholds,
               .bytes = static_cast<std::uint32_t>(order.blob.bytes),
               .is_inline = order.is_inline});
        granted_ = order.count;
        wait_until(bound, [&] {
            produce();
            return stops_;
        });
        stops_ = false;
        send({.kind = Kind::stopped, .count = sent_});
    }
    wait_until(patience_, [&] { return transport_.drained(); });
}

void StreamEnd::on_frame(Rank from, std::span<const std::byte> frame) {
    Message message;
    if (from != peer_ || frame.size() < sizeof message) return;
    std::memcpy(&message, frame.data(), sizeof message);
    switch (message.kind) {
        case Kind::stream: order_ = message; break;
        case Kind::grant: granted_ += message.count; break;
        case Kind::stop: stops_ = true; break;
        case Kind::stopped: total_ = message.count; break;
        case Kind::leave: leaves_ = true; break;
        case Kind::payload: take(message, frame.subspan(sizeof message)); break;
    }
}

void StreamEnd::on_fetched(std::uint64_t, std::string_view error) {
    if (!error.empty() && lost_.empty()) lost_ = error;
    ++consumed_;
    --fetching_;
    fetch();
}

void StreamEnd::on_lost(Rank, std::string_view reason) {
    lost_ = reason.empty() ? "it is gone" : reason;
}

void StreamEnd::begin(const Load& load) {
    transport_.use(load.thresholds);
    load_ = load;
    slots_ = std::max<std::uint64_t>(store_bytes / load.bytes, 1);
    consumed_ = fetching_ = sent_ = granted_ = answered_ = next_slot_ = 0;
    total_.reset();
}

void StreamEnd::take(const Message& message, std::span<const std::byte> bytes) {
    if (message.is_inline) {
        if (bytes.size() == load_.bytes) std::memcpy(next_place(), bytes.data(), bytes.size());
        ++consumed_;
        return;
    }
    waiting_.push(message.blob);
    fetch();
}

/// As the receiving end of a channel does.
void StreamEnd::fetch() {
    while (!waiting_.empty() && fetching_ < load_.thresholds.in_flight) {
        ++fetching_;
        const BlobRef blob = waiting_.pop();
        transport_.fetch(blob, {next_place(), load_.bytes}, next_token_++);
    }
}

std::byte* StreamEnd::next_place() noexcept {
    return stores_.arena.at(stores_.in.offset + next_slot_++ % slots_ * load_.bytes);
}

void StreamEnd::grant(std::uint64_t at_least) {
    if (consumed_ - answered_ < at_least) return;
    if (try_send({.kind = Kind::grant, .count = consumed_ - answered_})) answered_ = consumed_;
}

void StreamEnd::produce() {
    while (sent_ < granted_) {
        const std::uint64_t offset = stores_.out.offset + sent_ % slots_ * load_.bytes;
        const auto room = transport_.reserve(peer_, sizeof(Message) + (load_.is_inline ? load_.bytes : 0));
        if (room.empty()) return;
        const Message message{
            .kind = Kind::payload, .is_inline = load_.is_inline, .blob = {self_, offset, load_.bytes}};
        std::memcpy(room.data(), &message, sizeof message);
        if (load_.is_inline) std::memcpy(room.data() + sizeof message, stores_.arena.at(offset), load_.bytes);
        transport_.commit(peer_);
        ++sent_;
    }
}

bool StreamEnd::try_send(const Message& message) {
    const auto room = transport_.reserve(peer_, sizeof message);
    if (room.empty()) return false;
    std::memcpy(room.data(), &message, sizeof message);
    transport_.commit(peer_);
    return true;
}

void StreamEnd::send(const Message& message) {
    wait_until(patience_, [&] { return try_send(message); });
    transport_.flush();
}

/// A core is kept busy for a while; soon it is offered to others, as the peer may need it.
void StreamEnd::idle() {
    transport_.flush();
    const auto idle_for = SteadyClock::now() - last_event_;
    if (idle_for < pause_time && cores_ > 1) return pause_cpu();
    if (idle_for < spin_time) return std::this_thread::yield();
    transport_.wait(longest_nap);
}

}  // namespace penstock::doctor
