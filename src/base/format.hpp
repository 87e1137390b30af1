#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace penstock {

/// For people, rounded: "512 B", "1.5 KiB", "256 MiB". Never more than 1023 of a unit but the last.
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);

/// For people, rounded: "850 ns", "12.3 us", "45 ms", "9.8 s", "1 m 30 s", "2 h 5 m".
[[nodiscard]] std::string format_duration(std::chrono::nanoseconds duration);

}  // namespace penstock
