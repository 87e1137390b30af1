#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock {

/// Room that `write_number` and `write_integer` need.
inline constexpr std::size_t max_number_text = 24;

/// Writes the shortest text that reads back as the same number, in the form of Python's repr: "0.0", "1.5", "1e+16".
/// @return the end of the text.
char* write_number(char* out, double value) noexcept;
char* write_integer(char* out, std::uint64_t value) noexcept;

/// Reads a whole text as a decimal number; nothing for any other text and for one beyond the range of a double.
[[nodiscard]] std::optional<double> parse_number(std::string_view text) noexcept;

}  // namespace penstock
