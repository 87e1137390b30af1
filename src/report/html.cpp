#include "report/html.hpp"

#include <cstdint>

#include <fmt/format.h>

namespace penstock::report {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

/// Bytes of the code point at the beginning; 0 if they are none (RFC 3629).
[[nodiscard]] std::size_t code_point_length(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
    if (byte(0) < 0x80) return 1;
    const std::size_t length = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
    if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80) return 0;
    }
    if ((byte(0) == 0xE0 && byte(1) < 0xA0) || (byte(0) == 0xED && byte(1) > 0x9F)) return 0;
    if ((byte(0) == 0xF0 && byte(1) < 0x90) || (byte(0) == 0xF4 && byte(1) > 0x8F)) return 0;
    return length;
}

}  // namespace

std::string escaped(std::string_view text) {
    std::string safe;
    safe.reserve(text.size());
    while (!text.empty()) {
        const std::size_t length = code_point_length(text);
        const char c = text.front();
        switch (c) {
            case '&': safe += "&amp;"; break;
            case '<': safe += "&lt;"; break;
            case '>': safe += "&gt;"; break;
            case '"': safe += "&quot;"; break;
            case '\'': safe += "&#39;"; break;
            case '\n': safe += c; break;
            default:
                if (length == 0) {
                    safe += replacement;
                } else if (length == 1 && (static_cast<std::uint8_t>(c) < 0x20 || c == 0x7f)) {
                    safe += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
                } else {
                    safe += text.substr(0, length);
                }
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return safe;
}

std::string shortened(std::string_view text, std::size_t longest) {
    std::size_t at = 0;
    for (std::size_t points = 0; at < text.size(); ++points) {
        if (points == longest) return std::string{text.substr(0, at)} + "\xE2\x80\xA6";
        const std::size_t length = code_point_length(text.substr(at));
        at += length == 0 ? 1 : length;
    }
    return std::string{text};
}

HtmlTable::HtmlTable(const std::vector<std::string>& headings) : text_{"<table><thead><tr>"} {
    for (const std::string& heading : headings) {
        const bool is_number = heading.starts_with('>');
        is_number_.push_back(is_number);
        text_ += fmt::format("<th{}>{}</th>", is_number ? " class=n" : "",
                             escaped(is_number ? std::string_view{heading}.substr(1) : std::string_view{heading}));
    }
    text_ += "</tr></thead><tbody>\n";
}

void HtmlTable::add(const std::vector<std::string>& cells, std::string_view row_class) {
    text_ += row_class.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", escaped(row_class));
    for (std::size_t i = 0; i < cells.size(); ++i) {
        text_ += i < is_number_.size() && is_number_[i] ? "<td class=n>" : "<td>";
        text_ += escaped(cells[i]) + "</td>";
    }
    text_ += "</tr>\n";
}

}  // namespace penstock::report
