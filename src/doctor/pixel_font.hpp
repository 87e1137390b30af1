#pragma once

#include <array>
#include <cstdint>

namespace penstock::doctor {

inline constexpr int glyph_columns = 5;
inline constexpr int glyph_rows = 8;
inline constexpr int glyph_baseline = 7;  ///< Rows above the line that letters stand on.

/// By column from the left; bit 0 is the top row.
using Glyph = std::array<std::uint8_t, glyph_columns>;

/// Of the printable characters of ASCII; an empty frame for every other.
[[nodiscard]] const Glyph& glyph_of(unsigned char character) noexcept;

}  // namespace penstock::doctor
