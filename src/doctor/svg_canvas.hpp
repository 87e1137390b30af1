#pragma once

#include <string>

#include "doctor/canvas.hpp"

namespace penstock::doctor {

/// Draws an SVG file. What is written on it is never markup.
class SvgCanvas final : public Canvas {
public:
    SvgCanvas(int width, int height);

    void box(const Box& box, Rgb colour, std::string_view about) override;
    void text(int x, int y, Align align, std::string_view text) override;
    void title(int x, int y, std::string_view text) override;

    /// The whole file.
    [[nodiscard]] std::string file() const { return svg_ + "</svg>\n"; }

private:
    std::string svg_;
};

}  // namespace penstock::doctor
