#include "doctor/svg_canvas.hpp"

#include <fmt/format.h>

namespace penstock::doctor {
namespace {

[[nodiscard]] std::string xml_text(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        switch (c) {
            case '&': safe += "&amp;"; break;
            case '<': safe += "&lt;"; break;
            case '>': safe += "&gt;"; break;
            case '"': safe += "&quot;"; break;
            default: safe += c;
        }
    }
    return safe;
}

[[nodiscard]] std::string_view anchor_of(Align align) noexcept {
    switch (align) {
        case Align::left: return "start";
        case Align::middle: return "middle";
        case Align::right: return "end";
    }
    return "start";
}

}  // namespace

SvgCanvas::SvgCanvas(int width, int height)
    : svg_{fmt::format(
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
          "font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
          width, height)} {}

void SvgCanvas::box(const Box& box, Rgb colour, std::string_view about) {
    svg_ += fmt::format(
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#{:02x}{:02x}{:02x}\"><title>{}</title></rect>\n",
        box.x, box.y, box.width, box.height, colour[0], colour[1], colour[2], xml_text(about));
}

void SvgCanvas::text(int x, int y, Align align, std::string_view text) {
    svg_ +=
        fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor_of(align), xml_text(text));
}

void SvgCanvas::title(int x, int y, std::string_view text) {
    svg_ += fmt::format("<text x=\"{}\" y=\"{}\" font-size=\"14\">{}</text>\n", x, y, xml_text(text));
}

}  // namespace penstock::doctor
