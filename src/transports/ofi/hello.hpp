#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "transports/ofi/watch.hpp"

namespace penstock::ofi {

/// One of the ways to a rank.
struct HelloRail {
    RemoteArena arena;
    std::string fabric;  ///< The network, as libfabric names it.
    std::string address;
};

/// What a rank tells the others before anything can be sent. In the byte order of the hosts, which share it.
struct Hello {
    std::uint64_t message_bytes = 0;  ///< All must have the same, and so the window.
    std::uint64_t window = 0;
    bool reads = false;            ///< Its devices read remote memory. Both have to.
    std::vector<HelloRail> rails;  ///< At least one.
};

[[nodiscard]] std::string text_of(const Hello& hello);
[[nodiscard]] std::optional<Hello> hello_of(std::string_view text);

}  // namespace penstock::ofi
