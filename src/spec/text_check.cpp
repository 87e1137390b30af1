#include "spec/text_check.hpp"

#include <algorithm>
#include <optional>
#include <string>

#include "spec/json_tree.hpp"

namespace penstock {
namespace {

using namespace std::string_view_literals;

bool is_continuation(char letter) noexcept {
    return (static_cast<unsigned char>(letter) & 0xc0U) == 0x80U;
}

/// Length of the UTF-8 sequence at the front, 0 if it is malformed (overlong forms, surrogates and values beyond
/// U+10FFFF included).
std::size_t sequence_length(std::string_view text) noexcept {
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    const std::size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (text.size() < length ||
        !std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(length), is_continuation))
        return 0;
    const auto second = static_cast<unsigned char>(text[1]);
    if (first == 0xe0 && second < 0xa0) return 0;
    if (first == 0xed && second > 0x9f) return 0;
    if (first == 0xf0 && second < 0x90) return 0;
    if (first == 0xf4 && second > 0x8f) return 0;
    return length;
}

std::optional<std::size_t> find_malformed(std::string_view text) noexcept {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = sequence_length(text.substr(at));
        if (length == 0) return at;
        at += length;
    }
    return std::nullopt;
}

}  // namespace

TextPosition position_of(std::string_view text, std::size_t offset) noexcept {
    const auto before = text.substr(0, offset);
    const auto lines = std::count(before.begin(), before.end(), '\n');
    const auto newline = before.rfind('\n');
    const auto start = newline == std::string_view::npos ? 0 : newline + 1;
    return {.line = static_cast<int>(lines) + 1, .column = static_cast<int>(before.size() - start) + 1};
}

bool check_text(std::string_view text, FileProblems& problems) {
    const auto refuse = [&](std::size_t offset, std::string_view why) {
        const auto [line, column] = position_of(text, offset);
        problems.add_syntax(line, column, why);
        return false;
    };
    if (text.size() > max_file_bytes) {
        problems.add("is larger than " + std::to_string(max_file_bytes >> 20U) + " MiB, the limit for a pipeline file");
        return false;
    }
    if (text.starts_with("\xef\xbb\xbf"sv)) {
        return refuse(0, "starts with a byte order mark; save the file as UTF-8 without it");
    }
    if (text.starts_with("\xff\xfe"sv) || text.starts_with("\xfe\xff"sv)) {
        return refuse(0, "is UTF-16 text; save the file as UTF-8");
    }
    if (const auto zero = text.find('\0'); zero != std::string_view::npos) {
        return refuse(zero, "has a NUL byte; a pipeline file is UTF-8 text, is this the right file?");
    }
    if (const auto bad = find_malformed(text)) return refuse(*bad, "is not valid UTF-8; save the file as UTF-8");
    if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
        problems.add("is empty; a pipeline file starts with {\"pipeline\": ...}, see `penstock schema`");
        return false;
    }
    return true;
}

}  // namespace penstock
