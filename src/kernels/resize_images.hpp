#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace penstock {

/// How images of one size are resized, cropped and normalised: result = value * factor[channel] + offset[channel].
struct ImagePlan {
    /// Along one axis: each pixel of the result lies between two of the image.
    struct Axis {
        std::vector<std::size_t> first;
        std::vector<std::size_t> second;
        std::vector<float> share;  ///< Of the second.
    };
    /// The pixels of an axis of `size` pixels, resized to `resized`, from `begin` on, so many as `results`. Centres of
    /// pixels are at half numbers, as image libraries have it; the edges are repeated.
    [[nodiscard]] static Axis axis(std::size_t size, std::size_t resized, std::size_t begin, std::size_t results,
                                   bool is_smooth);

    std::size_t height = 0;  ///< Of an image.
    std::size_t width = 0;
    std::size_t channels = 0;
    Axis rows;
    Axis columns;
    std::vector<float> factor;  ///< One a channel.
    std::vector<float> offset;
};

/// Images of height x width x channels, one after another, on the host. Made for u8 and f32.
/// @throws Error{invalid_input} if sizes do not fit the plan.
template <class T>
void resize_images(std::span<const T> images, std::span<float> results, const ImagePlan& plan);

}  // namespace penstock
