#include "launch/packed_texts.hpp"

#include <array>
#include <cstdint>
#include <cstring>

namespace penstock {

void pack_text(std::string& message, std::string_view text) {
    std::array<char, sizeof(std::uint64_t)> size;
    const std::uint64_t bytes = text.size();
    std::memcpy(size.data(), &bytes, sizeof bytes);
    message.append(size.data(), size.size()).append(text);
}

std::string pack_texts(const std::vector<std::string>& texts) {
    std::string message;
    for (const std::string& text : texts) pack_text(message, text);
    return message;
}

std::optional<std::vector<std::string>> unpack_texts(std::string_view message, std::size_t count) {
    std::vector<std::string> texts;
    while (!message.empty()) {
        std::uint64_t bytes = 0;
        if (message.size() < sizeof bytes) return std::nullopt;
        std::memcpy(&bytes, message.data(), sizeof bytes);
        message.remove_prefix(sizeof bytes);
        if (bytes > message.size()) return std::nullopt;
        texts.emplace_back(message.substr(0, bytes));
        message.remove_prefix(bytes);
    }
    if (texts.size() != count) return std::nullopt;
    return texts;
}

}  // namespace penstock
