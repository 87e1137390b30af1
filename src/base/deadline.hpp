#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.hpp"

namespace penstock {

/// A year. Longer times might not fit into a time point.
inline constexpr std::chrono::nanoseconds longest_time = std::chrono::hours{24 * 365};

/// Somebody else's time, brought to 0 ... `longest_time`.
[[nodiscard]] inline std::chrono::nanoseconds bounded(std::chrono::nanoseconds time) noexcept {
    return std::clamp(time, std::chrono::nanoseconds{0}, longest_time);
}

[[nodiscard]] inline SteadyClock::time_point deadline_in(std::chrono::nanoseconds time) noexcept {
    return SteadyClock::now() + bounded(time);
}

}  // namespace penstock
