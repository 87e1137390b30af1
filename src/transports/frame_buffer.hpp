#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace penstock {

/// A message carries frames one after the other: a u64 length, the bytes, zeros up to a multiple of 8.
inline constexpr std::size_t frame_head_bytes = 8;
inline constexpr std::size_t buffer_bytes = 128U << 10U;
inline constexpr std::size_t largest_frame = buffer_bytes - frame_head_bytes;

[[nodiscard]] constexpr std::size_t framed_bytes(std::size_t bytes) noexcept {
    return frame_head_bytes + (bytes + 7) / 8 * 8;
}

/// Frames on their way into one message.
class FrameBuffer {
public:
    /// Room for a frame, 8-byte aligned; empty when it does not fit any more.
    [[nodiscard]] std::span<std::byte> reserve(std::size_t bytes) noexcept;
    /// Keeps the frame that was reserved last.
    void commit() noexcept { used_ += reserved_; }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {memory_.get(), used_}; }
    [[nodiscard]] bool empty() const noexcept { return used_ == 0; }
    void clear() noexcept { used_ = 0; }

private:
    // Not initialised: pages that no message reaches are never touched.
    std::unique_ptr<std::byte[]> memory_ = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes);
    std::size_t used_ = 0;
    std::size_t reserved_ = 0;
};

/// Gives each frame of a received message to `deliver`.
/// @return false at the first frame that is empty or does not lie inside the message.
template <class Deliver>
[[nodiscard]] bool decode_frames(std::span<const std::byte> message, Deliver&& deliver) {
    while (!message.empty()) {
        std::uint64_t length = 0;
        if (message.size() < sizeof length) return false;
        std::memcpy(&length, message.data(), sizeof length);
        const std::size_t room = message.size() - frame_head_bytes;
        if (length == 0 || length > room || framed_bytes(length) > message.size()) return false;
        deliver(message.subspan(frame_head_bytes, length));
        message = message.subspan(framed_bytes(length));
    }
    return true;
}

}  // namespace penstock
