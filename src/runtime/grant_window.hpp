#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.hpp"

namespace penstock {

/// How many payloads a consumer of a leased channel lets be on their way to it: as many as keep it busy until more can
/// arrive. A slow one gets the next when it is through with the last, so that no payload waits behind it while another
/// consumer is free; a fast one has its whole queue.
class GrantWindow {
public:
    explicit GrantWindow(std::uint64_t most) noexcept : most_{most} {}

    /// One payload took so long. @param time  In ticks.
    void served(std::uint64_t time) noexcept {
        // The smoothing of TCP's round-trip times (Jacobson, "Congestion avoidance and control", SIGCOMM 1988).
        if (average_ == unknown) {
            average_ = time;
        } else {
            // One that took far longer, as when another process had the core, says little about the next.
            average_ = average_ - average_ / 8 + std::min(time, most_growth * (average_ + 1)) / 8;
        }
    }
    [[nodiscard]] std::uint64_t size() const noexcept {
        return std::clamp<std::uint64_t>(1 + time_to_bridge / std::max<std::uint64_t>(average_, 1), 1, most_);
    }

private:
    /// Between the grant of a credit and the arrival of what is sent for it, with two processes to be woken: about a
    /// millisecond.
    static constexpr std::uint64_t time_to_bridge = 30 * short_while;
    static constexpr std::uint64_t most_growth = 64;
    static constexpr std::uint64_t unknown = ~std::uint64_t{0};

    std::uint64_t most_;
    std::uint64_t average_ = unknown;
};

}  // namespace penstock
