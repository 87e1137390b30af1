#include "runtime/reactor.hpp"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

namespace penstock {
namespace {

constexpr auto spin_time = std::chrono::microseconds{50};
constexpr std::uint32_t polls_between_clock_reads = 64;

void set_receiver(std::vector<FrameReceiver*>& table, std::uint16_t channel, FrameReceiver* receiver) {
    if (table.size() <= channel) table.resize(channel + std::size_t{1});
    table[channel] = receiver;
}

[[nodiscard]] FrameReceiver* receiver_of(const std::vector<FrameReceiver*>& table, std::uint16_t channel) noexcept {
    return channel < table.size() ? table[channel] : nullptr;
}

}  // namespace

Reactor::Reactor(const TransportSet& transports, Options options) : transports_{transports}, options_{options} {}

Transport& Reactor::connect(Rank peer, std::string_view wanted) {
    Transport& transport = *transports_.choose(peer, wanted).transport;
    transport.connect(peer);
    activate(transport);
    return transport;
}

void Reactor::watch(Rank peer, std::string_view wanted) {
    activate(*transports_.choose(peer, wanted).transport);
}

void Reactor::activate(Transport& transport) {
    if (std::find(active_.begin(), active_.end(), &transport) == active_.end()) active_.push_back(&transport);
}

void Reactor::set_input(std::uint16_t channel, FrameReceiver* receiver) {
    set_receiver(inputs_, channel, receiver);
}

void Reactor::set_output(std::uint16_t channel, FrameReceiver* receiver) {
    set_receiver(outputs_, channel, receiver);
}

bool Reactor::poll() {
    std::size_t count = 0;
    for (Transport* transport : active_) count += transport->poll(*this);
    if (count == 0) return false;
    empty_polls_ = 0;
    keep_house();
    flush();
    return true;
}

void Reactor::keep_house() {
    if (!housekeeping_ || keeping_house_) return;
    keeping_house_ = true;
    kept_house_ = ticks();
    try {
        housekeeping_();
    } catch (...) {
        keeping_house_ = false;
        throw;
    }
    keeping_house_ = false;
}

void Reactor::wait(Activity activity, std::uint16_t channel, std::chrono::nanoseconds at_most) {
    if (interrupted_) throw Interrupted{};
    if (poll()) {
        if (interrupted_) throw Interrupted{};
        return;
    }
    if (status_ != nullptr) status_->set_activity(activity, channel);
    idle(at_most);
}

void Reactor::idle(std::chrono::nanoseconds at_most) {
    const bool due = ++idles_ % polls_between_clock_reads == 0 && ticks() - kept_house_ > short_while;
    if (empty_polls_ == 0 || std::exchange(has_slept_, false) || due) keep_house();
    if (due && status_ != nullptr) status_->bring_up_to_date();
    if (unflushed_) flush();
    if (options_.idle == Idle::spin) {
        empty_polls_ = 1;
        // Somebody else may need the core to bring what this one waits for.
        return options_.cores_to_spare ? pause_cpu() : std::this_thread::yield();
    }
    if (options_.idle == Idle::adaptive) {
        if (empty_polls_++ == 0) idle_since_ = SteadyClock::now();
        // A core of one's own is kept busy for a while; a shared one is left to the others. Going to sleep and being
        // woken costs more than either.
        if (!options_.cores_to_spare) {
            if (SteadyClock::now() - idle_since_ < spin_time) return std::this_thread::yield();
        } else if (empty_polls_ % polls_between_clock_reads != 0 || SteadyClock::now() - idle_since_ < spin_time) {
            return pause_cpu();
        }
    }
    empty_polls_ = 1;
    if (active_.empty()) return;
    has_slept_ = true;
    const auto asleep_since = SteadyClock::now();
    sleep(at_most);
    if (status_ == nullptr) return;
    status_->add_idle(static_cast<std::uint64_t>((SteadyClock::now() - asleep_since).count()));
    status_->bring_up_to_date();
}

void Reactor::sleep(std::chrono::nanoseconds at_most) {
    if (active_.size() == 1) return active_.front()->wait(at_most);
    std::array<int, Sleeper::most_descriptors> descriptors{};
    std::size_t count = 0;
    for (Transport* transport : active_) descriptors.at(count++) = transport->arm(at_most);
    if (at_most > std::chrono::nanoseconds::zero()) sleeper_.sleep(at_most, {descriptors.data(), count});
    for (Transport* transport : active_) transport->disarm();
}

void Reactor::flush() {
    unflushed_ = false;
    for (Transport* transport : active_) transport->flush();
}

bool Reactor::drained() const {
    return std::all_of(active_.begin(), active_.end(), [](const Transport* transport) { return transport->drained(); });
}

void Reactor::wake() noexcept {
    sleeper_.wake();
    for (Transport* transport : active_) transport->wake();
}

std::span<std::byte> Reactor::try_reserve(Transport& transport, Rank peer, std::size_t bytes) {
    if (bytes > transport.capabilities().max_frame_bytes) {
        throw Error{Errc::invalid_input, "metadata too large for transport '" + std::string{transport.name()} + "'"};
    }
    unflushed_ = true;
    return transport.reserve(peer, bytes);
}

std::span<std::byte> Reactor::reserve(Transport& transport, Rank peer, std::size_t bytes, std::uint16_t channel) {
    auto room = try_reserve(transport, peer, bytes);
    if (!room.empty()) return room;
    do {
        wait(Activity::waiting_for_outbox, channel);
        room = try_reserve(transport, peer, bytes);
    } while (room.empty());
    resume();
    return room;
}

void Reactor::on_frame(Rank from, std::span<const std::byte> frame) {
    const auto head = read_frame<FrameHead>(frame);
    if (!head || head->frame_bytes != frame.size()) protocol_error(from, "a frame of impossible length");
    FrameReceiver* receiver = nullptr;
    switch (head->kind) {
        case FrameKind::ticket:
        case FrameKind::grant:
        case FrameKind::ask:
        case FrameKind::give_back:
        case FrameKind::end: receiver = receiver_of(inputs_, head->channel); break;
        case FrameKind::returns:
        case FrameKind::lease:
        case FrameKind::recall:
        case FrameKind::end_ack: receiver = receiver_of(outputs_, head->channel); break;
        case FrameKind::control: receiver = control_; break;
    }
    if (receiver == nullptr) protocol_error(from, "a frame of a kind or for a channel that is not expected");
    receiver->on_frame(from, head->kind, frame);
}

void Reactor::on_fetched(std::uint64_t token, std::string_view error) {
    if (!error.empty()) throw Error{Errc::disconnected, "a blob could not be fetched: " + std::string{error}};
    fetched_(token);
}

void Reactor::on_lost(Rank peer, std::string_view reason) {
    throw Error{Errc::disconnected, "lost " + label(peer) + ": " + std::string{reason}};
}

void Reactor::protocol_error(Rank from, std::string_view what) const {
    throw Error{Errc::disconnected, label(from) + " sent " + std::string{what}};
}

}  // namespace penstock
