#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "transports/transport.hpp"

namespace penstock {

/// A first transfer. Libraries take every device for a way to everybody; whether it is one, only a transfer shows.
struct Trial {
    std::chrono::milliseconds timeout;
    std::function<bool()> is_idle;  ///< Nobody needs this process any more.
    std::function<void()> give_up;  ///< Ends the fetch with an error.
};

/// Fetches the first bytes of a rank's arena with a transport that nobody is connected to, and stays a while for those
/// who fetch from here.
/// @param owner  Nothing for one that is only fetched from.
/// @return what went wrong, or nothing.
[[nodiscard]] std::string try_fetch(Transport& transport, std::optional<Rank> owner, std::size_t bytes,
                                    const Trial& trial);

struct Introductions {
    std::vector<std::string> texts;  ///< By rank.
    std::uint64_t run = 0;           ///< A random number that is the same on all ranks, and no other run's.
};

/// Collective.
[[nodiscard]] Introductions introduce(Bootstrap& bootstrap, const std::string& mine);

}  // namespace penstock
