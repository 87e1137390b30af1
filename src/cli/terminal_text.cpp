#include "cli/terminal_text.hpp"

#include <cstdint>

#include <fmt/format.h>

namespace penstock::cli {

std::string without_controls(std::string_view text, bool lines) {
    std::string safe;
    safe.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<std::uint8_t>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<std::uint8_t>(text[i + 1]) : std::uint8_t{0};
        if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F: terminals take some for an escape
            safe += fmt::format("\\x{:02x}", next);
            ++i;
        } else if ((byte < 0x20 && !(lines && byte == '\n')) || byte == 0x7f) {
            safe += fmt::format("\\x{:02x}", byte);
        } else {
            safe += text[i];
        }
    }
    return safe;
}

}  // namespace penstock::cli
