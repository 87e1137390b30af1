#include "base/quantity.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <span>
#include <system_error>

namespace penstock {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array byte_units{
    Unit{"", 1},
    Unit{"B", 1},
    Unit{"KiB", 1ULL << 10U},
    Unit{"MiB", 1ULL << 20U},
    Unit{"GiB", 1ULL << 30U},
    Unit{"TiB", 1ULL << 40U},
    Unit{"kB", 1'000},
    Unit{"KB", 1'000},
    Unit{"MB", 1'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"TB", 1'000'000'000'000},
};
constexpr std::array duration_units{Unit{"ms", 1}, Unit{"s", 1'000}, Unit{"m", 60'000}, Unit{"h", 3'600'000}};
constexpr std::uint64_t year_ms = 366ULL * 24 * 3'600'000;

std::optional<std::uint64_t> parse(std::string_view text, std::span<const Unit> units, std::uint64_t limit) noexcept {
    std::uint64_t count = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{}) return std::nullopt;
    std::string_view name{rest, static_cast<std::size_t>(text.data() + text.size() - rest)};
    if (name.starts_with(' ')) name.remove_prefix(1);
    const auto unit = std::ranges::find(units, name, &Unit::name);
    if (unit == units.end() || count > limit / unit->factor) return std::nullopt;
    return count * unit->factor;
}

}  // namespace

std::optional<std::uint64_t> parse_bytes(std::string_view text) noexcept {
    return parse(text, byte_units, std::numeric_limits<std::int64_t>::max());
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept {
    if (text == "0") return std::chrono::milliseconds{0};
    const auto count = parse(text, duration_units, year_ms);
    if (!count) return std::nullopt;
    return std::chrono::milliseconds{static_cast<std::int64_t>(*count)};
}

std::string duration_text(std::chrono::milliseconds duration) {
    if (duration.count() % 1000 == 0) return std::to_string(duration.count() / 1000) + 's';
    return std::to_string(duration.count()) + "ms";
}

}  // namespace penstock
