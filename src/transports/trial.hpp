#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "transports/transport.hpp"

namespace penstock {

/// A first transfer. Libraries take every device for a way to everybody; whether it is one, only a transfer shows.
struct Trial {
    std::chrono::milliseconds timeout;
    std::function<bool()> is_idle;  ///< Nobody needs this process any more.
    std::function<void()> give_up;  ///< Ends the fetch with an error.
};

/// Fetches that blob with a transport that nobody is connected to, and stays a while for those who fetch from here.
/// @return what went wrong, or nothing.
[[nodiscard]] std::string try_fetch(Transport& transport, const BlobRef& blob, const Trial& trial);

/// Collective. A random number that is the same on all ranks, and no other run's.
[[nodiscard]] std::uint64_t agree_on_a_number(Bootstrap& bootstrap);

}  // namespace penstock
