#include "operators/progress.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace penstock {

bool is_milestone(std::uint64_t steps) noexcept {
    if (steps == 0) return false;
    std::uint64_t every = 10;
    while (steps > every * 100) every *= 10;
    return steps % every == 0;
}

double Stopwatch::seconds() const noexcept {
    return std::chrono::duration<double>(SteadyClock::now() - started_).count();
}

std::string Stopwatch::seconds_text() const {
    const double passed = seconds();
    return passed < 1 ? fmt::format("{:.3f}s", passed) : fmt::format("{:.1f}s", passed);
}

std::string Stopwatch::rate_text(std::uint64_t records) const {
    constexpr double shortest = 1e-9;
    return fmt::format("{:.0f} records/sec", static_cast<double>(records) / std::max(seconds(), shortest));
}

}  // namespace penstock
