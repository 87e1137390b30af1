#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

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
[[nodiscard]] std::string_view words_for(Activity activity) noexcept;

/// One channel as one instance sees it, at its sending or its receiving end.
struct ChannelStatus {
    std::uint64_t published = 0;  ///< Sender: handed to the channel, once per receiver that was to get it.
    std::uint64_t sent = 0;       ///< Sender: tickets written. Receiver: tickets read.
    std::uint64_t settled = 0;
    std::uint64_t dropped = 0;
    std::uint64_t bytes = 0;    ///< Blob bytes of `sent`.
    std::uint64_t credits = 0;  ///< Sender: credits held, all receivers together.
    std::uint64_t queued = 0;   ///< Receiver: not yet taken by the operator.
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
    std::array<NamedCounter, named_counters> named{};
};

/// Writes one word so that another process sees either the old or the new value.
inline void publish(std::uint64_t& word, std::uint64_t value) noexcept {
    std::atomic_ref{word}.store(value, std::memory_order_relaxed);
}
inline void add(std::uint64_t& word, std::uint64_t by) noexcept {
    publish(word, word + by);  // one writer: no read-modify-write needed
}

/// A copy of an instance's status.
struct Status {
    StatusHead head;
    std::vector<ChannelStatus> channels;  ///< Inputs, then outputs, in plan order.

    /// Grows whenever anything moves; that something is dropped is no movement.
    [[nodiscard]] std::uint64_t moved() const noexcept;
    /// Grows when the operator counts something.
    [[nodiscard]] std::uint64_t counted() const noexcept;
};

/// The status of this instance in memory that others may read. A view; does not own.
class StatusBlock {
public:
    [[nodiscard]] static constexpr std::size_t bytes(std::size_t channels) noexcept {
        return sizeof(StatusHead) + channels * sizeof(ChannelStatus);
    }
    /// REQUIRES: `memory` has `bytes(channels)`, aligned to 8; it is zeroed.
    StatusBlock(std::byte* memory, std::size_t channels) noexcept;

    void set_activity(Activity activity, std::uint16_t channel) noexcept {
        publish(head_->activity, static_cast<std::uint64_t>(activity));
        publish(head_->channel, channel);
    }
    void set_payload(std::uint64_t sequence) noexcept { publish(head_->payload, sequence); }
    void add_lap() noexcept { add(head_->laps, 1); }
    void add_idle(std::uint64_t nanoseconds) noexcept { add(head_->idle_ns, nanoseconds); }
    [[nodiscard]] ChannelStatus& channel(std::size_t index) const noexcept { return channels_[index]; }
    [[nodiscard]] Activity activity() const noexcept { return static_cast<Activity>(head_->activity); }

    /// @return false when all names are taken.
    bool count(std::string_view name, std::uint64_t by) noexcept;

private:
    StatusHead* head_;
    ChannelStatus* channels_;
};

/// Copies a status word by word. @param bytes  From an instance, live or out of a frame.
[[nodiscard]] Status read_status(const std::byte* memory, std::size_t channels);

}  // namespace penstock
