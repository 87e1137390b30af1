#include "doctor/tournament.hpp"

#include <algorithm>

namespace penstock::doctor {

std::vector<std::vector<std::pair<Rank, Rank>>> tournament(Rank ranks) {
    std::vector<std::vector<std::pair<Rank, Rank>>> rounds;
    if (ranks < 2) return rounds;
    const Rank seats = ranks + ranks % 2;  // the last of an odd number is empty
    for (Rank round = 0; round + 1 < seats; ++round) {
        auto& pairs = rounds.emplace_back();
        // One seat stays, the others go round the table; those who face each other meet.
        const auto at = [&](Rank seat) { return seat == 0 ? seats - 1 : (round + seat) % (seats - 1); };
        for (Rank seat = 0; seat < seats / 2; ++seat) {
            const auto [low, high] = std::minmax({at(seat), at(seats - 1 - seat)});
            if (high < ranks) pairs.emplace_back(low, high);
        }
    }
    return rounds;
}

}  // namespace penstock::doctor
