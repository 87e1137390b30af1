#include "operators/csv_scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "operators/delimiters.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock {
namespace {

std::uint64_t count(std::uint64_t mask) noexcept {
    return static_cast<std::uint64_t>(std::popcount(mask));
}

std::uint64_t find_portably(std::string_view text, CsvDialect dialect, CsvMasks* masks) noexcept {
    std::uint64_t newlines = 0;
    for (std::size_t at = 0; at < text.size(); at += mask_bytes, ++masks) {
        const char* const block = text.data() + at;
        *masks = {portable_mask_of(block, dialect.delimiter), portable_mask_of(block, '\n'),
                  portable_mask_of(block, dialect.quote)};
        masks->marks = count(masks->delimiters | masks->newlines);
        newlines += count(masks->newlines);
    }
    return newlines;
}

#if defined(__SSE2__)

std::uint64_t find_by_sse2(std::string_view text, CsvDialect dialect, CsvMasks* masks) noexcept {
    std::uint64_t newlines = 0;
    for (std::size_t at = 0; at < text.size(); at += mask_bytes, ++masks) {
        const char* const block = text.data() + at;
        *masks = {mask_of(block, dialect.delimiter), mask_of(block, '\n'), mask_of(block, dialect.quote)};
        masks->marks = count(masks->delimiters | masks->newlines);
        newlines += count(masks->newlines);
    }
    return newlines;
}

#endif

#if defined(__x86_64__)

// The base build must run on any x86-64, so these two ask for their instructions themselves.

__attribute__((target("avx2"), always_inline)) inline std::uint64_t both_halves(__m256i low, __m256i high) noexcept {
    return static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_epi8(low))) |
           static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_epi8(high))) << 32U;
}

__attribute__((target("avx2,popcnt"))) std::uint64_t find_by_avx2(std::string_view text, CsvDialect dialect,
                                                                  CsvMasks* masks) noexcept {
    const __m256i delimiter = _mm256_set1_epi8(dialect.delimiter);
    const __m256i newline = _mm256_set1_epi8('\n');
    const __m256i quote = _mm256_set1_epi8(dialect.quote);
    std::uint64_t all_newlines = 0;
    for (std::size_t at = 0; at < text.size(); at += mask_bytes, ++masks) {
        const auto* block = reinterpret_cast<const __m256i*>(text.data() + at);
        const __m256i low = _mm256_loadu_si256(block);
        const __m256i high = _mm256_loadu_si256(block + 1);
        const auto newlines = both_halves(_mm256_cmpeq_epi8(low, newline), _mm256_cmpeq_epi8(high, newline));
        const auto delimiters = both_halves(_mm256_cmpeq_epi8(low, delimiter), _mm256_cmpeq_epi8(high, delimiter));
        *masks = {delimiters, newlines, both_halves(_mm256_cmpeq_epi8(low, quote), _mm256_cmpeq_epi8(high, quote)),
                  static_cast<std::uint64_t>(_mm_popcnt_u64(delimiters | newlines))};
        all_newlines += static_cast<std::uint64_t>(_mm_popcnt_u64(newlines));
    }
    return all_newlines;
}

#endif

/// Bit i becomes the parity of bits 0 to i.
std::uint64_t prefix_parity(std::uint64_t bits) noexcept {
    for (unsigned distance = 1; distance < mask_bytes; distance *= 2) bits ^= bits << distance;
    return bits;
}

/// Sixty-four bytes, or fewer at the end, whose quotes are where they should be.
struct RegularBlock {
    std::uint64_t ends = 0;      // of fields
    std::uint64_t row_ends = 0;  // among them
    std::uint64_t embedded = 0;
};

/// Moves the state over a block if each of its quotes toggles; leaves it alone if one is a stray.
bool take_regular(const CsvMasks& masks, std::size_t size, QuoteState& state, RegularBlock& found) noexcept {
    const std::uint64_t quoted_before = state.quoted ? ~std::uint64_t{0} : 0;
    const std::uint64_t inside = masks.quotes == 0 ? quoted_before : prefix_parity(masks.quotes) ^ quoted_before;
    const std::uint64_t closing = masks.quotes & ~inside;
    found = {(masks.delimiters | masks.newlines) & ~inside, masks.newlines & ~inside, masks.newlines & inside};
    const std::uint64_t next_may_open = found.ends | closing;
    const std::uint64_t may_open = next_may_open << 1U | (state.may_open ? 1U : 0U);
    if ((masks.quotes & inside & ~may_open) != 0) return false;
    const std::uint64_t last = std::uint64_t{1} << (size - 1);
    state = {(inside & last) != 0, (next_may_open & last) != 0};
    return true;
}

enum class Letter : std::uint8_t { plain, field_end, row_end, embedded, stray };

/// What a byte is, one at a time: the definition that the blocks are a faster form of.
Letter take_byte(char byte, CsvDialect dialect, QuoteState& state) noexcept {
    const bool is_quote = byte == dialect.quote && dialect.quote != '\0';
    if (state.quoted) {
        state = {!is_quote, is_quote};
        return byte == '\n' && !is_quote ? Letter::embedded : Letter::plain;
    }
    if (is_quote) {
        const bool opens = state.may_open;
        state = {opens, false};
        return opens ? Letter::plain : Letter::stray;
    }
    const bool ends_row = byte == '\n';
    const bool ends = ends_row || byte == dialect.delimiter;
    state.may_open = ends;
    if (ends_row) return Letter::row_end;
    return ends ? Letter::field_end : Letter::plain;
}

/// A letter that means nothing in the dialect.
char neither(CsvDialect dialect) noexcept {
    char letter = 'a';
    while (letter == dialect.delimiter || letter == dialect.quote) ++letter;
    return letter;
}

/// Adds `base` plus the number of each bit that is set.
void add_positions(std::uint64_t mask, std::uint64_t marks, std::size_t base, CsvPositions& into) {
    constexpr std::uint64_t at_once = 8;
    std::uint32_t* at = into.room(mask_bytes + at_once);
    const auto first = static_cast<std::uint32_t>(base);
    // Eight at once and perhaps too many: a loop that ends after each number of marks is mispredicted at most blocks.
    for (std::uint64_t done = 0; done < marks; done += at_once) {
        for (std::uint64_t i = 0; i < at_once; ++i) {
            *at++ = first + static_cast<std::uint32_t>(std::countr_zero(mask | std::uint64_t{1} << (mask_bytes - 1)));
            mask &= mask - 1;
        }
    }
    into.grow_by(marks);
}

void add_few_positions(std::uint64_t mask, std::size_t base, CsvPositions& into) {
    for (; mask != 0; mask &= mask - 1) {
        into.push_back(static_cast<std::uint32_t>(base + static_cast<std::size_t>(std::countr_zero(mask))));
    }
}

}  // namespace

std::span<const CsvScanMethod> csv_scan_methods() noexcept {
    static constexpr std::array all {
#if defined(__x86_64__)
        CsvScanMethod{"avx2", find_by_avx2},
#endif
#if defined(__SSE2__)
            CsvScanMethod{"sse2", find_by_sse2},
#endif
            CsvScanMethod{"portable", find_portably},
    };
#if defined(__x86_64__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
    if (!has_avx2) return std::span{all}.subspan(1);
#endif
    return all;
}

/// Calls `take(base, masks, bytes)` for each 64 bytes of the text and for what is left of it.
/// @return the number of newlines.
template <class Take>
std::uint64_t CsvScanner::for_each_block(std::string_view text, Take&& take) const {
    constexpr std::size_t at_once = 64;  // their masks stay in the first-level cache
    std::array<CsvMasks, at_once> masks;
    const auto handle = [&](std::size_t base, CsvMasks mask, std::size_t size) {
        if (dialect_.quote == '\0') mask.quotes = 0;
        take(base, mask, text.substr(base, size));
    };
    std::uint64_t newlines = 0;
    std::size_t base = 0;
    while (text.size() - base >= mask_bytes) {
        const std::size_t blocks = std::min(at_once, (text.size() - base) / mask_bytes);
        newlines += method_.find(text.substr(base, blocks * mask_bytes), dialect_, masks.data());
        for (std::size_t i = 0; i < blocks; ++i, base += mask_bytes) handle(base, masks[i], mask_bytes);
    }
    const std::size_t left = text.size() - base;
    if (left == 0) return newlines;
    std::array<char, mask_bytes> rest;
    rest.fill(neither(dialect_));
    std::memcpy(rest.data(), text.data() + base, left);
    newlines += method_.find({rest.data(), rest.size()}, dialect_, masks.data());
    handle(base, masks[0], left);
    return newlines;
}

void CsvScanner::scan(std::string_view text, QuoteState& state, CsvMarks& marks) const {
    for_each_block(text, [&](std::size_t base, const CsvMasks& masks, std::string_view block) {
        if (masks.quotes == 0 && !state.quoted) {
            const std::uint64_t ends = masks.delimiters | masks.newlines;
            state.may_open = (ends >> (block.size() - 1) & 1U) != 0;
            add_positions(ends, masks.marks, base, marks.ends);
            add_few_positions(masks.newlines, base, marks.row_ends);
            return;
        }
        marks.has_quotes = true;
        if (RegularBlock found; take_regular(masks, block.size(), state, found)) {
            add_few_positions(found.ends, base, marks.ends);
            add_few_positions(found.row_ends, base, marks.row_ends);
            add_few_positions(found.embedded, base, marks.embedded);
            return;
        }
        for (std::size_t i = 0; i < block.size(); ++i) {
            const auto at = static_cast<std::uint32_t>(base + i);
            switch (take_byte(block[i], dialect_, state)) {
                case Letter::plain: break;
                case Letter::row_end: marks.row_ends.push_back(at); [[fallthrough]];
                case Letter::field_end: marks.ends.push_back(at); break;
                case Letter::embedded: marks.embedded.push_back(at); break;
                case Letter::stray: marks.strays.push_back(at); break;
            }
        }
    });
}

std::uint64_t CsvScanner::skip(std::string_view text, QuoteState& state) const {
    return for_each_block(text, [&](std::size_t, const CsvMasks& masks, std::string_view block) {
        if (masks.quotes == 0) {
            const std::uint64_t last = (masks.delimiters | masks.newlines) >> (block.size() - 1) & 1U;
            state.may_open = last != 0 && !state.quoted;
            return;
        }
        RegularBlock found;
        if (take_regular(masks, block.size(), state, found)) return;
        for (const char byte : block) static_cast<void>(take_byte(byte, dialect_, state));
    });
}

}  // namespace penstock
