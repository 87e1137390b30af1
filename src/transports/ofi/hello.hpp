#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "transports/ofi/watch.hpp"

namespace penstock::ofi {

/// What a rank tells the others before anything can be sent. In the byte order of the hosts, which share it.
struct Hello {
    RemoteArena arena;
    std::uint64_t message_bytes = 0;  ///< All must have the same, and so the window.
    std::uint64_t window = 0;
    bool reads = false;  ///< Its device reads remote memory. Both have to.
    std::string address;
};

[[nodiscard]] std::string text_of(const Hello& hello);
[[nodiscard]] std::optional<Hello> hello_of(std::string_view text);

}  // namespace penstock::ofi
