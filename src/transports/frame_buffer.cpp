#include "transports/frame_buffer.hpp"

namespace penstock {

std::span<std::byte> FrameBuffer::reserve(std::size_t bytes) noexcept {
    const std::size_t framed = framed_bytes(bytes);
    if (framed > buffer_bytes - used_) return {};
    std::byte* head = memory_.get() + used_;
    // The padding lies in the last 8 bytes: cleared first, so that no old memory travels.
    std::memset(head + framed - 8, 0, 8);
    const std::uint64_t length = bytes;
    std::memcpy(head, &length, sizeof length);
    reserved_ = framed;
    return {head + frame_head_bytes, bytes};
}

}  // namespace penstock
