#pragma once

#include <cstdint>

namespace penstock::testing {

/// What a thread has asked of the heap and of the communication libraries. The program that links library_uses.cpp has
/// the functions in front of theirs.
struct LibraryUses {
    std::uint64_t ours = 0;          ///< Operator new, which none of the libraries uses.
    std::uint64_t of_libraries = 0;  ///< Calls of the malloc family behind it: by C libraries.
    // Called by us, not by UCX itself, which unpacks a key for each message that is too long to be copied:
    std::uint64_t registrations = 0;  ///< ucp_mem_map.
    std::uint64_t key_unpacks = 0;    ///< ucp_ep_rkey_unpack.
    std::uint64_t endpoints = 0;      ///< ucp_ep_create.

    friend LibraryUses operator-(const LibraryUses& a, const LibraryUses& b) noexcept {
        return {a.ours - b.ours, a.of_libraries - b.of_libraries, a.registrations - b.registrations,
                a.key_unpacks - b.key_unpacks, a.endpoints - b.endpoints};
    }
};

/// Of the calling thread, since it began.
[[nodiscard]] LibraryUses library_uses() noexcept;

}  // namespace penstock::testing
