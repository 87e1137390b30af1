#pragma once

#include <cstdint>
#include <string>

namespace penstock {

[[nodiscard]] std::string host_name();

/// Which process of which machine: enough to tell later whether it still lives, also when its number is in use again.
struct ProcessIdentity {
    std::string host = {};  ///< Its name, for people.
    /// Of the start of the machine and of the space of process numbers. Within one such world a number can be looked
    /// up.
    std::string world = {};
    std::int64_t pid = 0;
    std::uint64_t started = 0;  ///< When it did, in the kernel's ticks since the machine's start.

    [[nodiscard]] static ProcessIdentity here();
    /// Whether it could be seen from this process.
    [[nodiscard]] bool is_in_reach() const;
    /// REQUIRES: it is in reach.
    [[nodiscard]] bool is_alive() const;
};

}  // namespace penstock
