#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/frame_buffer.hpp"

// Whatever a message holds, its frames lie inside it, one after the other, and none is empty.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto message = std::as_bytes(std::span{data, size});
    const std::byte* end = message.data();
    const bool whole = penstock::decode_frames(message, [&](std::span<const std::byte> frame) {
        if (frame.empty() || frame.data() < end + penstock::frame_head_bytes) __builtin_trap();
        end = frame.data() + frame.size();
        if (end > message.data() + message.size()) __builtin_trap();
    });
    // Only the padding of the last frame may lie behind it.
    if (whole && message.data() + message.size() - end >= 8) __builtin_trap();
    return 0;
}
