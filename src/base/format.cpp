#include "base/format.hpp"

#include <array>
#include <cmath>
#include <span>
#include <string_view>

#include <fmt/format.h>

namespace penstock {
namespace {

/// One decimal below 100, none above, and none where it would be a zero.
std::string rounded(double value) {
    std::string text = value < 99.95 ? fmt::format("{:.1f}", value) : fmt::format("{:.0f}", value);
    if (text.ends_with(".0")) text.resize(text.size() - 2);
    return text;
}

/// In the largest unit that leaves a number below `step` after rounding.
std::string scaled(double value, double step, std::span<const std::string_view> units) {
    std::size_t unit = 0;
    while (unit + 1 < units.size() && std::round(value) >= step) {
        value /= step;
        ++unit;
    }
    return rounded(value).append(" ").append(units[unit]);
}

}  // namespace

std::string format_bytes(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 7> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    return scaled(static_cast<double>(bytes), 1024, units);
}

std::string format_duration(std::chrono::nanoseconds duration) {
    constexpr std::array<std::string_view, 4> units{"ns", "us", "ms", "s"};
    const auto seconds = std::chrono::round<std::chrono::seconds>(duration).count();
    if (seconds < 60) return scaled(static_cast<double>(duration.count()), 1000, units);
    if (seconds < 3600) return fmt::format("{} m {} s", seconds / 60, seconds % 60);
    return fmt::format("{} h {} m", seconds / 3600, seconds % 3600 / 60);
}

}  // namespace penstock
