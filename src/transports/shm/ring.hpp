#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace penstock::shm {

/// A single-producer, single-consumer ring of frames in shared memory. The writer owns the ring; how far the reader has
/// come stands in the reader's own memory, so that nobody writes to anybody else's.
///
/// A frame is a word that says how long it is, the bytes, and padding to 8. That word is all that tells the reader of a
/// frame: it is written last, and the word after the frame is cleared before. So a frame costs both sides the cache
/// lines it lies in and no other (after Giacomoni, Moseley, Vachharajani: "FastForward for efficient pipeline
/// parallelism", PPoPP 2008). A frame never wraps: where it does not fit before the end, a word sends the reader to
/// the start. Positions count bytes since the beginning of time.
struct RingHead {
    /// A writer without room wants to be woken when the reader has come so far; 0 when none waits.
    alignas(64) std::atomic<std::uint64_t> wanted{0};
    /// What follows starts on a line of its own.
    alignas(64) std::byte data[1];

    [[nodiscard]] static constexpr std::size_t bytes(std::size_t capacity) noexcept {
        return offsetof(RingHead, data) + capacity;
    }
};

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8);

inline constexpr std::uint64_t nothing = 0;
inline constexpr std::uint64_t to_the_start = ~std::uint64_t{0};
inline constexpr std::uint64_t frame_mark = std::uint64_t{1} << 32U;  // with the length in the lower half
inline constexpr std::size_t word_bytes = sizeof(Word);

[[nodiscard]] constexpr std::size_t framed_bytes(std::size_t bytes) noexcept {
    return word_bytes + (bytes + 7) / 8 * 8;
}

class RingWriter {
public:
    RingWriter() noexcept = default;
    /// @param capacity  A power of two. @param consumed  The reader's position, in the reader's memory.
    RingWriter(RingHead* head, std::size_t capacity, const std::atomic<std::uint64_t>* consumed) noexcept
        : head_{head}, capacity_{capacity}, consumed_{consumed} {
        word(0).store(nothing, std::memory_order_relaxed);
    }

    /// Room for one frame, at most half the capacity with its word. Empty when there is none.
    [[nodiscard]] std::span<std::byte> reserve(std::size_t bytes) noexcept {
        const std::size_t need = framed_bytes(bytes);
        const std::size_t at = position_ & (capacity_ - 1);
        const std::size_t to_end = capacity_ - at;
        const std::size_t taken = to_end < need ? to_end + need : need;
        const std::uint64_t end = position_ + taken + word_bytes;
        if (end - seen_ > capacity_) {
            seen_ = consumed_->load(std::memory_order_acquire);
            // Signed: a position from the future is a broken reader's, which gets nothing more.
            if (static_cast<std::int64_t>(position_ - seen_) < 0 || end - seen_ > capacity_) {
                head_->wanted.store(std::max(end - capacity_, position_ - std::min(position_, capacity_ / 2)),
                                    std::memory_order_relaxed);
                return {};
            }
        }
        start_ = to_end < need ? 0 : at;
        taken_ = taken;
        length_ = static_cast<std::uint32_t>(bytes);
        return {head_->data + start_ + word_bytes, bytes};
    }

    /// Shows the reserved frame to the reader.
    void commit() noexcept {
        const std::size_t at = position_ & (capacity_ - 1);
        position_ += taken_;
        word(position_ & (capacity_ - 1)).store(nothing, std::memory_order_relaxed);
        word(start_).store(frame_mark | length_, std::memory_order_release);
        if (start_ != at) word(at).store(to_the_start, std::memory_order_release);
    }

    /// After a refused reservation: the reader has read since.
    [[nodiscard]] bool has_new_room() const noexcept { return consumed_->load(std::memory_order_acquire) != seen_; }
    void want_nothing() noexcept { head_->wanted.store(0, std::memory_order_relaxed); }

    [[nodiscard]] bool drained() const noexcept { return consumed_->load(std::memory_order_acquire) == position_; }

private:
    [[nodiscard]] Word& word(std::size_t at) const noexcept { return *reinterpret_cast<Word*>(head_->data + at); }

    RingHead* head_ = nullptr;
    std::size_t capacity_ = 0;
    const std::atomic<std::uint64_t>* consumed_ = nullptr;
    std::uint64_t position_ = 0;
    std::uint64_t seen_ = 0;  // of the reader's position
    std::size_t start_ = 0;   // of the reserved frame
    std::size_t taken_ = 0;
    std::uint32_t length_ = 0;
};

class RingReader {
public:
    RingReader() noexcept = default;
    /// @param consumed  This reader's position, in its own memory.
    RingReader(const RingHead* head, std::size_t capacity, std::atomic<std::uint64_t>* consumed) noexcept
        : head_{head}, capacity_{capacity}, consumed_{consumed} {}

    [[nodiscard]] bool empty() const noexcept { return word_here() == nothing; }

    enum class Result : std::uint8_t { ok, broken };

    /// Gives up to `most` frames to `deliver`, then lets the writer reuse their room. Lengths are checked: the writer
    /// may be broken.
    template <class Deliver>
    [[nodiscard]] Result read(std::size_t most, std::size_t& count, Deliver&& deliver) {
        // Not this reader's position: what threw in a delivery before is not known to the writer yet.
        const std::uint64_t start = consumed_->load(std::memory_order_relaxed);
        Result result = Result::ok;
        while (count < most) {
            const std::uint64_t word = word_here();  // once: the writer could change it between two looks
            if (word == nothing) break;
            const std::size_t at = position_ & (capacity_ - 1);
            const std::size_t framed = word == to_the_start ? capacity_ - at : framed_bytes(word & ~frame_mark);
            if (word != to_the_start && (word >= 2 * frame_mark || word < frame_mark || framed > capacity_ - at)) {
                result = Result::broken;
                break;
            }
            position_ += framed;  // first: a frame whose delivery throws is not delivered again
            if (word == to_the_start) {
                if (at == 0) return Result::broken;  // or it would go round for ever
                continue;
            }
            ++count;
            deliver(std::span<const std::byte>{head_->data + at + word_bytes, word & ~frame_mark});
        }
        if (position_ != start) consumed_->store(position_, std::memory_order_release);
        return result;
    }

    /// Whether the writer waits for room and there is as much as it wants. Ask after a fence after `read`.
    [[nodiscard]] bool has_room_wanted() const noexcept {
        const std::uint64_t wanted = head_->wanted.load(std::memory_order_relaxed);
        return wanted != 0 && static_cast<std::int64_t>(position_ - wanted) >= 0;
    }

private:
    [[nodiscard]] std::uint64_t word_here() const noexcept {
        return reinterpret_cast<const Word*>(head_->data + (position_ & (capacity_ - 1)))
            ->load(std::memory_order_acquire);
    }

    const RingHead* head_ = nullptr;
    std::size_t capacity_ = 0;
    std::atomic<std::uint64_t>* consumed_ = nullptr;
    std::uint64_t position_ = 0;
};

}  // namespace penstock::shm
