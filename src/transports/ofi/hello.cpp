#include "transports/ofi/hello.hpp"

#include <array>
#include <cstring>

namespace penstock::ofi {
namespace {

using Numbers = std::array<std::uint64_t, 4>;
using RailNumbers = std::array<std::uint64_t, 5>;

template <class Some>
void append(std::string& text, const Some& numbers) {
    text.append(reinterpret_cast<const char*>(numbers.data()), sizeof numbers);
}

template <class Some>
[[nodiscard]] bool take(std::string_view& text, Some& numbers) {
    if (text.size() < sizeof numbers) return false;
    std::memcpy(numbers.data(), text.data(), sizeof numbers);
    text.remove_prefix(sizeof numbers);
    return true;
}

[[nodiscard]] bool take(std::string_view& text, std::uint64_t bytes, std::string& word) {
    if (text.size() < bytes) return false;
    word = text.substr(0, bytes);
    text.remove_prefix(bytes);
    return true;
}

}  // namespace

std::string text_of(const Hello& hello) {
    std::string text;
    append(text, Numbers{hello.message_bytes, hello.window, hello.reads ? 1U : 0U, hello.rails.size()});
    for (const HelloRail& rail : hello.rails) {
        append(text, RailNumbers{rail.arena.begin, rail.arena.key, rail.arena.bytes, rail.fabric.size(),
                                 rail.address.size()});
        text.append(rail.fabric).append(rail.address);
    }
    return text;
}

std::optional<Hello> hello_of(std::string_view text) {
    Numbers numbers{};
    if (!take(text, numbers)) return std::nullopt;
    Hello hello{.message_bytes = numbers[0], .window = numbers[1], .reads = numbers[2] != 0, .rails = {}};
    for (std::uint64_t i = 0; i < numbers[3]; ++i) {
        RailNumbers of_rail{};
        if (!take(text, of_rail)) return std::nullopt;
        HelloRail& rail = hello.rails.emplace_back(
            HelloRail{.arena = {of_rail[0], of_rail[1], of_rail[2]}, .fabric = {}, .address = {}});
        if (!take(text, of_rail[3], rail.fabric) || !take(text, of_rail[4], rail.address)) return std::nullopt;
    }
    if (hello.rails.empty() || !text.empty()) return std::nullopt;
    return hello;
}

}  // namespace penstock::ofi
