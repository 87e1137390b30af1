#include "doctor/pixel_canvas.hpp"

#include <algorithm>
#include <cassert>

#include "doctor/pixel_font.hpp"

namespace penstock::doctor {
namespace {

constexpr std::uint8_t white = 0;
constexpr std::uint8_t black = 1;

[[nodiscard]] constexpr bool starts_character(char c) noexcept {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;  // in UTF-8
}

}  // namespace

static_assert(glyph_columns < Canvas::character_width);

PixelCanvas::PixelCanvas(int width, int height, int scale)
    : scale_{std::max(scale, 1)},
      image_{.width = static_cast<std::uint32_t>(width * scale_),
             .height = static_cast<std::uint32_t>(height * scale_),
             .palette = {{255, 255, 255}, {0, 0, 0}},
             .pixels = {}} {
    image_.pixels.resize(std::size_t{image_.width} * image_.height, white);
}

std::uint8_t PixelCanvas::index_of(Rgb colour) {
    const auto found = std::find(image_.palette.begin(), image_.palette.end(), colour);
    const auto index = found - image_.palette.begin();
    if (found == image_.palette.end()) image_.palette.push_back(colour);
    assert(image_.palette.size() <= Image::most_colours);
    return static_cast<std::uint8_t>(index);
}

/// What lies outside of the image is cut off.
void PixelCanvas::fill(const Box& box, std::uint8_t index) noexcept {
    const auto inside = [&](int at, std::uint32_t end) {
        return static_cast<std::size_t>(std::clamp(at * scale_, 0, static_cast<int>(end)));
    };
    const std::size_t left = inside(box.x, image_.width);
    const std::size_t right = inside(box.x + box.width, image_.width);
    const std::size_t bottom = inside(box.y + box.height, image_.height);
    for (std::size_t y = inside(box.y, image_.height); y < bottom; ++y) {
        std::fill_n(&image_.pixels[y * image_.width + left], right - left, index);
    }
}

void PixelCanvas::box(const Box& box, Rgb colour, std::string_view /*about*/) {
    fill(box, index_of(colour));
}

void PixelCanvas::glyph(int x, int top, unsigned char character) noexcept {
    const Glyph& columns = glyph_of(character);
    for (int column = 0; column < glyph_columns; ++column) {
        for (int row = 0; row < glyph_rows; ++row) {
            if ((columns[static_cast<std::size_t>(column)] >> static_cast<unsigned>(row) & 1U) == 0) continue;
            fill({.x = x + column, .y = top + row, .width = 1, .height = 1}, black);
        }
    }
}

void PixelCanvas::text(int x, int y, Align align, std::string_view text) {
    const auto characters = static_cast<int>(std::count_if(text.begin(), text.end(), starts_character));
    const int width = characters * character_width - (character_width - glyph_columns);
    if (align == Align::middle) x -= width / 2;
    if (align == Align::right) x -= width;
    for (const char c : text) {
        if (!starts_character(c)) continue;
        glyph(x, y - glyph_baseline, static_cast<unsigned char>(c));
        x += character_width;
    }
}

}  // namespace penstock::doctor
