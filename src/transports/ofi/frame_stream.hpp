#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "transports/frame_buffer.hpp"

namespace penstock::ofi {

/// Puts the frames together again that were cut into the pieces of a stream. Cuts are at multiples of 8 bytes.
class FrameStream {
public:
    /// Gives each frame that is whole to `deliver`; what lies inside a piece is not copied.
    /// @return false at the first that is no frame.
    template <class Deliver>
    [[nodiscard]] bool add(std::span<const std::byte> piece, Deliver&& deliver) {
        if (piece.empty() || piece.size() % 8 != 0) return false;
        while (!piece.empty()) {
            if (framed_ == 0 && !begin(piece)) return false;
            const std::size_t step = std::min(framed_ - have_, piece.size());
            const bool is_here = have_ == 0 && step == framed_;
            if (!is_here) keep(piece.first(step));
            have_ += step;
            if (have_ == framed_) {
                framed_ = 0;
                const std::byte* frame = is_here ? piece.data() : cut_.get();
                deliver(std::span{frame + frame_head_bytes, length_});
            }
            piece = piece.subspan(step);
        }
        return true;
    }

private:
    [[nodiscard]] bool begin(std::span<const std::byte> piece) noexcept {
        std::uint64_t length = 0;
        std::memcpy(&length, piece.data(), sizeof length);
        if (length == 0 || length > largest_frame) return false;
        length_ = length;
        framed_ = framed_bytes(length);
        have_ = 0;
        return true;
    }
    void keep(std::span<const std::byte> bytes) {
        if (!cut_) cut_ = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes);
        std::memcpy(cut_.get() + have_, bytes.data(), bytes.size());
    }

    std::unique_ptr<std::byte[]> cut_;  // the frame that is cut, from its head
    std::size_t length_ = 0;
    std::size_t framed_ = 0;  // 0: between frames
    std::size_t have_ = 0;    // of `framed_`
};

}  // namespace penstock::ofi
