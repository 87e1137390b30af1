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

void find_portably(std::string_view text, CsvDialect dialect, CsvMasks* masks) noexcept {
    for (std::size_t at = 0; at < text.size(); at += mask_bytes, ++masks) {
        const char* const block = text.data() + at;
        *masks = {portable_mask_of(block, dialect.delimiter), portable_mask_of(block, '\n'),
                  portable_mask_of(block, dialect.quote)};
    }
}

#if defined(__SSE2__)

void find_by_sse2(std::string_view text, CsvDialect dialect, CsvMasks* masks) noexcept {
    for (std::size_t at = 0; at < text.size(); at += mask_bytes, ++masks) {
        const char* const block = text.data() + at;
        *masks = {mask_of(block, dialect.delimiter), mask_of(block, '\n'), mask_of(block, dialect.quote)};
    }
}

#endif

#if defined(__x86_64__)

// The base build must run on any x86-64, so these two ask for their instructions themselves.

__attribute__((target("avx2"))) std::uint64_t both_halves(__m256i low, __m256i high) noexcept {
    return static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_epi8(low))) |
           static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_epi8(high))) << 32U;
}

__attribute__((target("avx2"))) void find_by_avx2(std::string_view text, CsvDialect dialect, CsvMasks* masks) noexcept {
    const __m256i delimiter = _mm256_set1_epi8(dialect.delimiter);
    const __m256i newline = _mm256_set1_epi8('\n');
    const __m256i quote = _mm256_set1_epi8(dialect.quote);
    for (std::size_t at = 0; at < text.size(); at += mask_bytes, ++masks) {
        const auto* block = reinterpret_cast<const __m256i*>(text.data() + at);
        const __m256i low = _mm256_loadu_si256(block);
        const __m256i high = _mm256_loadu_si256(block + 1);
        *masks = {both_halves(_mm256_cmpeq_epi8(low, delimiter), _mm256_cmpeq_epi8(high, delimiter)),
                  both_halves(_mm256_cmpeq_epi8(low, newline), _mm256_cmpeq_epi8(high, newline)),
                  both_halves(_mm256_cmpeq_epi8(low, quote), _mm256_cmpeq_epi8(high, quote))};
    }
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

void add_positions(std::uint64_t mask, std::size_t base, CsvPositions& into) {
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
template <class Take>
void CsvScanner::for_each_block(std::string_view text, Take&& take) const {
    constexpr std::size_t at_once = 64;  // their masks stay in the first-level cache
    std::array<CsvMasks, at_once> masks;
    const auto handle = [&](std::size_t base, CsvMasks mask, std::size_t size) {
        if (dialect_.quote == '\0') mask.quotes = 0;
        take(base, mask, text.substr(base, size));
    };
    std::size_t base = 0;
    while (text.size() - base >= mask_bytes) {
        const std::size_t blocks = std::min(at_once, (text.size() - base) / mask_bytes);
        method_.find(text.substr(base, blocks * mask_bytes), dialect_, masks.data());
        for (std::size_t i = 0; i < blocks; ++i, base += mask_bytes) handle(base, masks[i], mask_bytes);
    }
    const std::size_t left = text.size() - base;
    if (left == 0) return;
    std::array<char, mask_bytes> rest{};
    std::memcpy(rest.data(), text.data() + base, left);
    method_.find({rest.data(), rest.size()}, dialect_, masks.data());
    const std::uint64_t real = (std::uint64_t{1} << left) - 1;
    handle(base, {masks[0].delimiters & real, masks[0].newlines & real, masks[0].quotes & real}, left);
}

void CsvScanner::scan(std::string_view text, QuoteState& state, CsvMarks& marks) const {
    for_each_block(text, [&](std::size_t base, const CsvMasks& masks, std::string_view block) {
        std::uint32_t* const end_begin = marks.ends.room(mask_bytes);
        std::uint32_t* const row_begin = marks.row_ends.room(mask_bytes);
        std::uint32_t* end = end_begin;
        std::uint32_t* row = row_begin;
        const std::size_t ends_before = marks.ends.size();
        marks.has_quotes |= masks.quotes != 0;
        const auto add = [&](std::size_t position, bool is_row_end) {
            *row = static_cast<std::uint32_t>(ends_before + static_cast<std::size_t>(end - end_begin));
            row += is_row_end ? 1 : 0;
            *end++ = static_cast<std::uint32_t>(position);
        };
        if (RegularBlock found; take_regular(masks, block.size(), state, found)) {
            for (std::uint64_t left = found.ends; left != 0; left &= left - 1) {
                const auto bit = static_cast<unsigned>(std::countr_zero(left));
                add(base + bit, (found.row_ends >> bit & 1U) != 0);
            }
            add_positions(found.embedded, base, marks.embedded);
        } else {
            for (std::size_t i = 0; i < block.size(); ++i) {
                const Letter letter = take_byte(block[i], dialect_, state);
                const std::size_t at = base + i;
                if (letter == Letter::field_end || letter == Letter::row_end) add(at, letter == Letter::row_end);
                if (letter == Letter::embedded) marks.embedded.push_back(static_cast<std::uint32_t>(at));
                if (letter == Letter::stray) marks.strays.push_back(static_cast<std::uint32_t>(at));
            }
        }
        marks.ends.grow_by(static_cast<std::size_t>(end - end_begin));
        marks.row_ends.grow_by(static_cast<std::size_t>(row - row_begin));
    });
}

std::uint64_t CsvScanner::skip(std::string_view text, QuoteState& state) const {
    std::uint64_t lines = 0;
    for_each_block(text, [&](std::size_t, const CsvMasks& masks, std::string_view block) {
        lines += static_cast<std::uint64_t>(std::popcount(masks.newlines));
        RegularBlock found;
        if (take_regular(masks, block.size(), state, found)) return;
        for (const char byte : block) static_cast<void>(take_byte(byte, dialect_, state));
    });
    return lines;
}

}  // namespace penstock
