#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace penstock::shm {

/// A single-producer, single-consumer ring of frames in shared memory. The writer owns `tail` and the data; how far the
/// reader has come stands in the reader's own memory, so that nobody writes to anybody else's.
///
/// A frame is a u32 length, 4 unused bytes, the bytes, and padding to 8. It never wraps: where it does not fit before
/// the end, a length of `skip` sends the reader to the start. Positions count bytes since the beginning of time.
///
/// `tail` may lag behind what is committed: a writer in a hurry publishes its frames in lots, since a reader that keeps
/// up takes that line away from it each time. A reader that finds nothing new a few times looks at `committed`, which
/// is always true, so no frame ever waits for its writer.
struct RingHead {
    alignas(64) std::atomic<std::uint64_t> tail{0};
    alignas(64) std::atomic<std::uint64_t> committed{0};
};

inline constexpr std::uint32_t skip = 0xFFFFFFFFU;
inline constexpr std::size_t frame_head_bytes = 8;

[[nodiscard]] constexpr std::size_t framed_bytes(std::size_t bytes) noexcept {
    return frame_head_bytes + (bytes + 7) / 8 * 8;
}

class RingWriter {
public:
    RingWriter() noexcept = default;
    /// @param consumed  The reader's position, in the reader's memory.
    RingWriter(RingHead* head, std::byte* data, std::size_t capacity,
               const std::atomic<std::uint64_t>* consumed) noexcept
        : head_{head}, data_{data}, capacity_{capacity}, consumed_{consumed} {}

    [[nodiscard]] std::span<std::byte> reserve(std::size_t bytes) noexcept {
        const std::size_t need = framed_bytes(bytes);
        const std::size_t at = tail_ & (capacity_ - 1);
        const std::size_t to_end = capacity_ - at;
        const std::size_t taken = to_end < need ? to_end + need : need;
        if (tail_ + taken - seen_ > capacity_) {
            seen_ = consumed_->load(std::memory_order_acquire);
            if (tail_ - seen_ > capacity_ || tail_ + taken - seen_ > capacity_) return {};
        }
        std::size_t start = at;
        if (to_end < need) {
            std::memcpy(data_ + at, &skip, sizeof skip);
            start = 0;
        }
        const auto length = static_cast<std::uint32_t>(bytes);
        std::memcpy(data_ + start, &length, sizeof length);
        reserved_ = taken;
        return {data_ + start + frame_head_bytes, bytes};
    }

    /// Completes the reserved frame.
    void commit() noexcept {
        tail_ += reserved_;
        head_->committed.store(tail_, std::memory_order_release);
    }
    /// Shows it to the reader at once.
    void publish() noexcept { head_->tail.store(tail_, std::memory_order_release); }

    /// After a refused reservation: the reader has read since.
    [[nodiscard]] bool has_new_room() const noexcept { return consumed_->load(std::memory_order_acquire) != seen_; }

    [[nodiscard]] bool drained() const noexcept { return consumed_->load(std::memory_order_acquire) == tail_; }

private:
    RingHead* head_ = nullptr;
    std::byte* data_ = nullptr;
    std::size_t capacity_ = 0;  // a power of two
    const std::atomic<std::uint64_t>* consumed_ = nullptr;
    std::uint64_t tail_ = 0;
    std::uint64_t seen_ = 0;
    std::size_t reserved_ = 0;
};

class RingReader {
    static constexpr std::uint32_t misses_before_closer_look = 4;

public:
    RingReader() noexcept = default;
    /// @param consumed  This reader's position, in its own memory.
    RingReader(const RingHead* head, const std::byte* data, std::size_t capacity,
               std::atomic<std::uint64_t>* consumed) noexcept
        : head_{head}, data_{data}, capacity_{capacity}, consumed_{consumed} {}

    [[nodiscard]] bool empty() const noexcept { return head_->committed.load(std::memory_order_acquire) == position_; }

    enum class Result : std::uint8_t { ok, broken };

    /// Gives up to `most` frames to `deliver`, then lets the writer reuse their room.
    /// `room_made` becomes true when the writer may have been waiting for room.
    template <class Deliver>
    [[nodiscard]] Result read(std::size_t most, std::size_t& count, bool& room_made, Deliver&& deliver) {
        const std::uint64_t start = consumed_->load(std::memory_order_relaxed);
        std::uint64_t tail = head_->tail.load(std::memory_order_acquire);
        if (static_cast<std::int64_t>(tail - position_) <= 0) {
            if (position_ == start && ++misses_ < misses_before_closer_look) return Result::ok;
            tail = head_->committed.load(std::memory_order_acquire);
        }
        misses_ = 0;
        if (tail - position_ > capacity_) return Result::broken;
        while (position_ != tail && count < most) {
            const std::size_t at = position_ & (capacity_ - 1);
            std::uint32_t length = 0;
            std::memcpy(&length, data_ + at, sizeof length);  // once: the writer could change it between two looks
            if (length == skip) {
                if (tail - position_ < capacity_ - at) return Result::broken;
                position_ += capacity_ - at;
                continue;
            }
            const std::size_t framed = framed_bytes(length);
            if (framed > tail - position_ || framed > capacity_ - at) return Result::broken;
            position_ += framed;  // first: a frame whose delivery throws is not delivered again
            ++count;
            deliver(std::span<const std::byte>{data_ + at + frame_head_bytes, length});
        }
        if (position_ != start) {
            consumed_->store(position_, std::memory_order_release);
            room_made = room_made || tail - start >= capacity_ / 2;
        }
        return Result::ok;
    }

private:
    const RingHead* head_ = nullptr;
    const std::byte* data_ = nullptr;
    std::size_t capacity_ = 0;
    std::atomic<std::uint64_t>* consumed_ = nullptr;
    std::uint64_t position_ = 0;
    std::uint32_t misses_ = 0;
};

}  // namespace penstock::shm
