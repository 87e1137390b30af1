#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

/// "4096", "64KiB", "64 MiB", "1GB": binary units count in 1024, decimal ones in 1000. Nothing for any other text and
/// for more than 2^63 - 1 bytes.
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text) noexcept;

/// "500ms", "30s", "5m", "2h", "0": a number with its unit; only zero goes without. Nothing for any other text and for
/// more than a year.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) noexcept;
/// The same duration as such a text: "90s", "1500ms".
[[nodiscard]] std::string duration_text(std::chrono::milliseconds duration);

}  // namespace penstock
