#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memory/arena.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// Where the other ranks of a job find rank 0 over TCP, and what proves that they are of this job: a number that nobody
/// can guess.
struct Meeting {
    std::uint16_t port = 0;  ///< 0: nowhere.
    std::string secret = {};
    std::vector<std::string> addresses = {};

    /// Rank 0 takes a port on all its addresses. @return what it listens on; nothing without a network.
    [[nodiscard]] File call();
    /// One line of text. Whoever reads it may take part.
    [[nodiscard]] std::string encode() const;
    [[nodiscard]] static Meeting decode(const std::string& text);

    /// A connection to rank 0; nothing if none of its addresses answers.
    [[nodiscard]] File greet(Rank rank) const;

    struct Guest {
        Rank rank = 0;
        File line;
    };
    /// Who waits at the door and has greeted; nothing for a stranger, and for one that is too slow.
    [[nodiscard]] std::optional<Guest> receive(const File& listener) const;
};

/// Waits for a file. @return false when the time is up.
[[nodiscard]] bool is_ready(const File& file, short events, std::chrono::milliseconds timeout);

}  // namespace penstock
