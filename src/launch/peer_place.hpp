#pragma once

#include <cstdint>
#include <string>

namespace penstock {

/// Where an instance of a run is, as the peer files of the run directory have it.
struct PeerPlace {
    std::string host;
    std::string address;
    std::int64_t pid = 0;  ///< As that host counts.
    std::uint32_t rank = 0;
};

/// @throws Error{invalid_input} if the run has no such instance, saying which there are.
[[nodiscard]] PeerPlace find_peer(const std::string& run_dir, const std::string& stage, std::uint32_t instance);

}  // namespace penstock
