#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "doctor/canvas.hpp"

namespace penstock::doctor {

struct Image {
    static constexpr std::size_t most_colours = 256;

    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::vector<Rgb> palette = {};
    std::vector<std::uint8_t> pixels = {};  ///< By row: places in the palette.
};

/// @throws Error{unsupported} in a build that cannot make a PNG.
void require_png();

/// The image as a whole PNG file. REQUIRES: a pixel and a colour at least.
/// @throws Error{unsupported} in a build that cannot make a PNG.
[[nodiscard]] std::string png_of(const Image& image);

}  // namespace penstock::doctor
