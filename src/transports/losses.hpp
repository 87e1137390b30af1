#pragma once

#include <string_view>
#include <vector>

#include "transports/transport.hpp"

namespace penstock {

/// Which peers are lost: each is reported once.
class Losses {
public:
    explicit Losses(Rank ranks) : lost_(ranks, false) {}

    [[nodiscard]] bool is_lost(Rank peer) const noexcept { return lost_[peer]; }
    /// Marks a peer that the caller knows to be lost.
    void forget(Rank peer) { lost_[peer] = true; }
    /// @return the number of events delivered.
    std::size_t report(Rank peer, std::string_view reason, TransportEvents& events) {
        if (lost_[peer]) return 0;
        lost_[peer] = true;
        events.on_lost(peer, reason);
        return 1;
    }

private:
    std::vector<bool> lost_;
};

}  // namespace penstock
