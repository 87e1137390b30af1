#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace penstock {

inline constexpr std::size_t mask_bytes = 64;

/// Bit i is set where byte i of the 64 is one of the letters.
template <class... Letters>
[[nodiscard]] std::uint64_t portable_mask_of(const char* block, Letters... letters) noexcept {
    std::uint64_t mask = 0;
    for (std::size_t i = 0; i < mask_bytes; ++i)
        mask |= static_cast<std::uint64_t>((... || (block[i] == letters))) << i;
    return mask;
}

#if defined(__SSE2__)

/// The same.
template <class... Letters>
[[nodiscard]] std::uint64_t mask_of(const char* block, Letters... letters) noexcept {
    std::uint64_t mask = 0;
    for (std::size_t part = 0; part < mask_bytes; part += sizeof(__m128i)) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block + part));
        __m128i found = _mm_setzero_si128();
        ((found = _mm_or_si128(found, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(letters)))), ...);
        mask |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(found))) << part;
    }
    return mask;
}

#else

template <class... Letters>
[[nodiscard]] std::uint64_t mask_of(const char* block, Letters... letters) noexcept {
    return portable_mask_of(block, letters...);
}

#endif

/// Bit i is set where byte i of the 64 is a comma or a line end.
[[nodiscard]] inline std::uint64_t delimiter_mask(const char* block) noexcept {
    return mask_of(block, ',', '\n');
}

/// Lines of a text; one at least.
[[nodiscard]] inline std::size_t count_lines(std::string_view text) noexcept {
    constexpr std::size_t block = 240;  // a byte can count them, which lets the compiler count in bytes
    std::size_t lines = 1;
    for (; text.size() >= block; text.remove_prefix(block)) {
        std::uint8_t found = 0;
        for (std::size_t i = 0; i < block; ++i) found = static_cast<std::uint8_t>(found + (text[i] == '\n' ? 1 : 0));
        lines += found;
    }
    for (const char letter : text) lines += letter == '\n' ? 1 : 0;
    return lines;
}

/// Calls `found(position)` for each comma and line end of the text, in order.
template <class Found>
void for_each_delimiter(std::string_view text, Found&& found) {
    const auto report = [&](std::size_t base, std::uint64_t mask) {
        for (; mask != 0; mask &= mask - 1) found(base + static_cast<std::size_t>(std::countr_zero(mask)));
    };
    std::size_t base = 0;
    for (; base + mask_bytes <= text.size(); base += mask_bytes) report(base, delimiter_mask(text.data() + base));
    if (base == text.size()) return;
    std::array<char, mask_bytes> rest{};
    std::memcpy(rest.data(), text.data() + base, text.size() - base);
    report(base, delimiter_mask(rest.data()));
}

/// A line of comma-separated values and where its first commas are.
struct Line {
    std::size_t begin = 0;
    std::size_t end = 0;  ///< Without the line end, "\n" or "\r\n".
    std::size_t commas = 0;
    std::array<std::size_t, 2> comma{};  ///< Positions of the first two.
    std::uint64_t number = 0;            ///< From 1.
};

/// Calls `found(line)` for each line. A last line needs no line end; after a last line end there is no further line.
template <class Found>
void for_each_line(std::string_view text, Found&& found) {
    Line line;
    const auto end_line = [&](std::size_t end) {
        line.end = end > line.begin && text[end - 1] == '\r' ? end - 1 : end;
        ++line.number;
        found(std::as_const(line));
        line.commas = 0;
    };
    for_each_delimiter(text, [&](std::size_t at) {
        if (text[at] == ',') {
            if (line.commas < line.comma.size()) line.comma[line.commas] = at;
            ++line.commas;
            return;
        }
        end_line(at);
        line.begin = at + 1;
    });
    if (line.begin < text.size()) end_line(text.size());
}

}  // namespace penstock
