#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
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
};

/// Where rank 0 lets in those who know the secret, as they greet. Who says nothing, or something else, keeps nobody
/// waiting. Both arguments outlive it.
class Door {
public:
    struct Guest {
        Rank rank = 0;
        File line;
    };

    Door(const Meeting& meeting, const File& listener) : meeting_{meeting}, listener_{listener} {}

    /// The next one who has greeted. @return nothing if nobody has when the time is up.
    [[nodiscard]] std::optional<Guest> next(std::chrono::milliseconds timeout);

private:
    struct Comer {
        File line;
        std::string said;
    };

    void let_come();
    [[nodiscard]] std::optional<Guest> hear(Comer& comer) const;

    const Meeting& meeting_;
    const File& listener_;
    std::deque<Comer> comers_;  // who have not greeted yet, the first who came first
};

/// Waits for a file. @return false when the time is up.
[[nodiscard]] bool is_ready(const File& file, short events, std::chrono::milliseconds timeout);

}  // namespace penstock
