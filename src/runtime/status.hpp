#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/plan.hpp>

#include "base/log_histogram.hpp"
#include "base/tick_clock.hpp"

namespace penstock {

/// What an instance is doing or waiting for.
enum class Activity : std::uint64_t {
    starting,
    waiting_for_input,
    waiting_for_credit,
    waiting_for_memory,
    waiting_for_outbox,
    waiting_for_blob,
    waiting_for_settlement,
    operating,
    paced,  ///< The operator sleeps on purpose.
    done,
};
inline constexpr std::size_t activities = static_cast<std::size_t>(Activity::done) + 1;
[[nodiscard]] std::string_view words_for(Activity activity) noexcept;

/// Why nothing moves on a channel.
enum class Stall : std::uint8_t {
    no_data,    ///< Its receiver has nothing to do.
    no_credit,  ///< Its sender may not send more: the receiver has not done what it has.
    fabric,     ///< Room in the outbox, or a blob under way.
};
inline constexpr std::size_t stalls = 3;

/// One channel as one instance sees it, at its sending or its receiving end.
struct ChannelStatus {
    std::uint64_t published = 0;  ///< Sender: handed to the channel, once per receiver that was to get it.
    std::uint64_t sent = 0;       ///< Sender: tickets written. Receiver: tickets read.
    std::uint64_t settled = 0;
    std::uint64_t dropped = 0;
    std::uint64_t bytes = 0;       ///< Blob bytes of `sent`.
    std::uint64_t credits = 0;     ///< Sender: credits held, all receivers together.
    std::uint64_t queued = 0;      ///< Receiver: not yet taken by the operator.
    std::uint64_t filtered = 0;    ///< Sender: kept out by the channel's filter; not published.
    std::uint64_t skipped = 0;     ///< Sender: kept out by its sample; not published.
    std::uint64_t ended = 0;       ///< Receiver: 1 once every sender has ended.
    std::uint64_t packed_to = 0;   ///< Sender that compresses: what `bytes` came to.
    std::uint64_t not_packed = 0;  ///< Sender that compresses: of `sent`, those that went as they are.
    std::array<std::uint64_t, stalls> stalled_ns{};  ///< By `Stall`: `no_data` at receivers, `no_credit` at senders.

    [[nodiscard]] std::uint64_t stalled(Stall cause) const noexcept {
        return stalled_ns[static_cast<std::size_t>(cause)];
    }
};

/// A counter named by an operator.
struct NamedCounter {
    std::array<char, 24> name{};
    std::uint64_t value = 0;
};

/// An instance's public face: written by it with plain stores, read by the coordinator while it runs.
struct StatusHead {
    static constexpr std::size_t named_counters = 8;

    std::uint64_t activity = 0;
    std::uint64_t channel = 0;  ///< Where it waits, in plan order.
    std::uint64_t payload = 0;  ///< Sequence of the payload in the operator's hands.
    std::uint64_t idle_ns = 0;  ///< Slept because there was nothing to do.
    std::uint64_t laps = 0;     ///< Grows while the operator pauses on purpose, at least ten times a second.
    /// When the times below were brought up to date, in ns of the steady clock of its machine.
    std::uint64_t timed_at = 0;
    std::array<std::uint64_t, activities> spent_ns{};  ///< By `Activity`.
    std::uint64_t clock_differs = 0;  ///< Latencies that came out negative, as the clocks of two machines differ.
    // Of an instance with several threads:
    std::uint64_t active_threads = 0;
    std::uint64_t morsels = 0;
    std::uint64_t steals = 0;
    std::array<NamedCounter, named_counters> named{};

    [[nodiscard]] std::uint64_t spent(Activity what) const noexcept { return spent_ns[static_cast<std::size_t>(what)]; }
};

/// Writes one word so that another process sees either the old or the new value.
inline void publish(std::uint64_t& word, std::uint64_t value) noexcept {
    std::atomic_ref{word}.store(value, std::memory_order_relaxed);
}
inline void add(std::uint64_t& word, std::uint64_t by) noexcept {
    publish(word, word + by);  // one writer: no read-modify-write needed
}

/// What the status of an instance consists of; both sides know it from the plan.
struct StatusShape {
    std::vector<std::uint16_t> channels = {};  ///< Inputs, then outputs, in plan order.
    std::size_t inputs = 0;
    bool takes_latency = false;  ///< Payloads end here.

    [[nodiscard]] std::size_t bytes() const noexcept;
};
[[nodiscard]] StatusShape status_shape(const Plan& plan, std::uint32_t rank);

/// A copy of an instance's status.
struct Status {
    StatusHead head;
    std::vector<ChannelStatus> channels;     ///< Inputs, then outputs, in plan order.
    std::vector<LogHistogram> latency = {};  ///< In ns, from the source; one where payloads end, none elsewhere.

    /// Grows whenever anything moves; that something is dropped is no movement.
    [[nodiscard]] std::uint64_t moved() const noexcept;
    /// Grows when the operator counts something.
    [[nodiscard]] std::uint64_t counted() const noexcept;
    /// Counts what it is at since it was last written, as long as that is known. @param now  Of the same steady clock.
    void extend_to(std::uint64_t now) noexcept;
};

/// Of an instance that has not said anything yet.
[[nodiscard]] Status empty_status(const StatusShape& shape);

/// The status of this instance in memory that others may read. A view; does not own.
class StatusBlock {
public:
    /// REQUIRES: `memory` has `shape.bytes()`, aligned to 8.
    StatusBlock(std::byte* memory, StatusShape shape) noexcept;

    /// Also adds up the time spent. Cheap while nothing changes: no clock is read.
    void set_activity(Activity activity, std::uint16_t channel) noexcept {
        if (activity != this->activity() || (channel != head_->channel && names_channel(activity))) bring_up_to_date();
        publish(head_->activity, static_cast<std::uint64_t>(activity));
        publish(head_->channel, channel);
    }
    /// Adds the time since the last change of activity to what is counted.
    void bring_up_to_date() noexcept;
    void set_threads(std::uint64_t active, std::uint64_t morsels, std::uint64_t steals) noexcept {
        publish(head_->active_threads, active);
        publish(head_->morsels, morsels);
        publish(head_->steals, steals);
    }
    void set_payload(std::uint64_t sequence) noexcept { publish(head_->payload, sequence); }
    void add_lap() noexcept { add(head_->laps, 1); }
    void add_idle(std::uint64_t nanoseconds) noexcept { add(head_->idle_ns, nanoseconds); }
    [[nodiscard]] ChannelStatus& channel(std::size_t index) const noexcept { return channels_[index]; }
    [[nodiscard]] Activity activity() const noexcept { return static_cast<Activity>(head_->activity); }
    [[nodiscard]] TickClock& clock() noexcept { return clock_; }

    /// A payload has ended here. Some nanoseconds. REQUIRES: the shape takes latencies.
    /// @param source_time_ns  When its source emitted it. @param now  What `ticks()` said, not long ago.
    void record_latency(std::uint64_t source_time_ns, std::uint64_t now) noexcept {
        const std::uint64_t wall = clock_.wall_ns(now);
        if (wall < source_time_ns) [[unlikely]] {
            add(head_->clock_differs, 1);
            return latency_->record(0);
        }
        latency_->record(wall - source_time_ns);
    }

    /// @return false when all names are taken.
    bool count(std::string_view name, std::uint64_t by) noexcept;

private:
    [[nodiscard]] static bool names_channel(Activity activity) noexcept {
        return activity >= Activity::waiting_for_input && activity <= Activity::waiting_for_blob;
    }
    void add_stall(std::uint64_t nanoseconds) noexcept;

    StatusShape shape_;
    StatusHead* head_;
    ChannelStatus* channels_;
    LogHistogram* latency_;
    TickClock clock_;
};

/// Copies a status word by word. @param memory  From an instance, live or out of a frame; aligned to 8.
[[nodiscard]] Status read_status(const std::byte* memory, const StatusShape& shape);

}  // namespace penstock
