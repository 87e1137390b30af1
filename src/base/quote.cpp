#include "base/quote.hpp"

#include <cstddef>

namespace penstock {
namespace {

constexpr std::size_t max_shown = 60;

void append_escaped(std::string& out, char letter) {
    constexpr std::string_view digits = "0123456789abcdef";
    const auto code = static_cast<unsigned char>(letter);
    switch (letter) {
        case '"': out += "\\\""; return;
        case '\\': out += "\\\\"; return;
        case '\n': out += "\\n"; return;
        case '\t': out += "\\t"; return;
        default: break;
    }
    if (code >= 0x20 && code != 0x7f) {
        out += letter;
        return;
    }
    out.append("\\x").append(1, digits[code >> 4U]).append(1, digits[code & 15U]);
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char letter : text) append_escaped(out, letter);
    return out;
}

bool continues(char letter) noexcept {
    return (static_cast<unsigned char>(letter) & 0xc0U) == 0x80U;
}

}  // namespace

std::string printable(std::string_view text) {
    std::size_t shown = text.size();
    if (shown > max_shown) {
        shown = max_shown;
        while (shown > 0 && continues(text[shown])) --shown;
    }
    return escaped(text.substr(0, shown)) + (shown < text.size() ? "..." : "");
}

std::string in_quotes(std::string_view text) {
    return '"' + printable(text) + '"';
}

std::string path_in_quotes(std::string_view path) {
    return '"' + escaped(path) + '"';
}

std::string shell_quoted(std::string_view text) {
    std::string out = "'";
    for (const char letter : text) out += letter == '\'' ? std::string{"'\\''"} : std::string{letter};
    return out + '\'';
}

}  // namespace penstock
