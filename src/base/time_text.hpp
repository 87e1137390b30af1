#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

/// Room that `write_time` needs.
inline constexpr std::size_t max_time_text = 32;

/// RFC 3339 in UTC with as many digits of the second as there are, up to nine: "2025-07-18T20:42:34.5Z".
/// @param ns  Since the epoch, in the years 1678 to 2262. @return the end of the text.
char* write_time(char* out, std::int64_t ns) noexcept;
[[nodiscard]] std::string time_text(std::int64_t ns);

/// Reads RFC 3339: a date, "T", "t" or a space, a time with or without a fraction, and "Z" or an offset. Digits beyond
/// the ninth are cut off. @return ns since the epoch, or nothing for any other text and beyond the years above.
[[nodiscard]] std::optional<std::int64_t> parse_time(std::string_view text) noexcept;

}  // namespace penstock
