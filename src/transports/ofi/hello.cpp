#include "transports/ofi/hello.hpp"

#include <array>
#include <cstring>

namespace penstock::ofi {
namespace {

using Numbers = std::array<std::uint64_t, 6>;

}  // namespace

std::string text_of(const Hello& hello) {
    const Numbers numbers{hello.arena.begin,   hello.arena.key, hello.arena.bytes,
                          hello.message_bytes, hello.window,    hello.reads ? 1U : 0U};
    std::string text(sizeof numbers, '\0');
    std::memcpy(text.data(), numbers.data(), sizeof numbers);
    return text + hello.address;
}

std::optional<Hello> hello_of(std::string_view text) {
    Numbers numbers{};
    if (text.size() < sizeof numbers) return std::nullopt;
    std::memcpy(numbers.data(), text.data(), sizeof numbers);
    return Hello{.arena = {numbers[0], numbers[1], numbers[2]},
                 .message_bytes = numbers[3],
                 .window = numbers[4],
                 .reads = numbers[5] != 0,
                 .address = std::string{text.substr(sizeof numbers)}};
}

}  // namespace penstock::ofi
