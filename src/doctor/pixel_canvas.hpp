#pragma once

#include <vector>

#include "doctor/canvas.hpp"
#include "doctor/png.hpp"

namespace penstock::doctor {

/// Draws an image of pixels. It has no place for what is said about a box.
class PixelCanvas final : public Canvas {
public:
    /// @param scale  Pixels for a unit, at least 1.
    PixelCanvas(int width, int height, int scale);

    /// REQUIRES: less than 256 colours altogether.
    void box(const Box& box, Rgb colour, std::string_view about) override;
    void text(int x, int y, Align align, std::string_view text) override;
    void title(int x, int y, std::string_view text) override { this->text(x, y, Align::left, text); }

    [[nodiscard]] const Image& image() const noexcept { return image_; }

private:
    [[nodiscard]] std::uint8_t index_of(Rgb colour);
    void fill(const Box& box, std::uint8_t index) noexcept;
    void glyph(int x, int top, unsigned char character) noexcept;

    int scale_;
    Image image_;
};

}  // namespace penstock::doctor
