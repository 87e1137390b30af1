#include "spec/names.hpp"

#include <algorithm>

#include <penstock/error.hpp>

#include "base/comparison.hpp"

namespace penstock {
namespace {

constexpr std::size_t max_name = 64;

bool is_alphanumeric(char letter) noexcept {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9');
}

bool is_name_letter(char letter) noexcept {
    return is_alphanumeric(letter) || letter == '_' || letter == '.' || letter == '-';
}

bool may_start(char letter) noexcept {
    return is_alphanumeric(letter) || letter == '_';
}

}  // namespace

bool is_name(std::string_view text) noexcept {
    return !text.empty() && text.size() <= max_name && may_start(text.front()) &&
           std::ranges::all_of(text, is_name_letter);
}

std::string as_name(std::string_view text, std::string_view fallback) {
    std::string name;
    for (const char letter : text.substr(0, max_name)) {
        if (name.empty() && !may_start(letter)) continue;
        const bool separates = letter == ' ' || letter == '/' || letter == ':';
        if (is_name_letter(letter)) name += letter;
        if (separates && !name.ends_with('-')) name += '-';
    }
    while (name.ends_with('-')) name.pop_back();
    return name.empty() ? std::string{fallback} : name;
}

std::optional<std::string> filter_problem(std::string_view filter) {
    try {
        static_cast<void>(parse_comparison(filter));
    } catch (const Error& error) {
        std::string_view text = error.what();
        text.remove_prefix(text.find(": ") + 2);  // the name of its code
        return std::string{text};
    }
    return std::nullopt;
}

std::string channel_name(const ChannelSpec& channel) {
    if (!channel.name.empty()) return channel.name;
    return channel.from + '-' + channel.to;
}

}  // namespace penstock
