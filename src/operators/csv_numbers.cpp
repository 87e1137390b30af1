#include "operators/csv_numbers.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "operators/number_text.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock {
namespace {

std::string_view trimmed(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

/// Whether rounding this to a float might be a second rounding in the wrong direction: it lies half-way.
bool is_half_way(double value) noexcept {
    constexpr std::uint64_t lost = (std::uint64_t{1} << 29U) - 1;
    return (std::bit_cast<std::uint64_t>(value) & lost) == (lost + 1) / 2;
}

}  // namespace

template <class T>
std::optional<T> parse_field(std::string_view text) noexcept {
    text = trimmed(text);
    if constexpr (std::is_same_v<T, double>) {
        return parse_number(text);
    } else {
        T value{};
        const char* const end = text.data() + text.size();
        const auto [rest, error] = std::from_chars(text.data(), end, value);
        if (error != std::errc{} || rest != end) return std::nullopt;
        return value;
    }
}

template std::optional<double> parse_field<double>(std::string_view) noexcept;
template std::optional<float> parse_field<float>(std::string_view) noexcept;
template std::optional<std::int64_t> parse_field<std::int64_t>(std::string_view) noexcept;
template std::optional<std::int32_t> parse_field<std::int32_t>(std::string_view) noexcept;

#if defined(__x86_64__)

namespace {

constexpr std::size_t word = 16;

constexpr std::array<double, word> powers_of_ten{1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

struct alignas(word) Bytes16 {
    std::array<std::int8_t, word> at{};
};

/// Entry n keeps the last n bytes.
constexpr auto keep_last = [] {
    std::array<Bytes16, word + 1> masks{};
    for (std::size_t n = 0; n <= word; ++n) {
        for (std::size_t i = word - n; i < word; ++i) masks[n].at[i] = -1;
    }
    return masks;
}();

/// Entry p moves the bytes before p over it; the last one moves nothing.
constexpr auto close_gap = [] {
    std::array<Bytes16, word + 1> shuffles{};
    for (std::size_t p = 0; p <= word; ++p) {
        for (std::size_t i = 0; i < word; ++i) {
            const std::size_t from = p == word || i > p ? i : i - 1;  // wraps around for i = 0
            shuffles[p].at[i] = i == 0 && p < word ? std::int8_t{-1} : static_cast<std::int8_t>(from);
        }
    }
    return shuffles;
}();

/// A decimal number of at most 16 letters: -?[0-9]*\.?[0-9]* with a digit at least.
struct ShortNumber {
    std::uint64_t digits = 0;
    std::size_t fraction = 0;  // digits behind the point
    bool negative = false;
    bool valid = false;
};

/// REQUIRES: the 16 bytes before `end` can be read.
__attribute__((target("ssse3,sse4.1"), always_inline)) inline ShortNumber read_short(const char* begin,
                                                                                     const char* end) noexcept {
    ShortNumber number;
    number.negative = *begin == '-';
    const auto size = static_cast<std::size_t>(end - begin) - (number.negative ? 1 : 0);
    const __m128i keep = _mm_load_si128(reinterpret_cast<const __m128i*>(&keep_last[size]));
    const __m128i text = _mm_loadu_si128(reinterpret_cast<const __m128i*>(end - word));
    const __m128i values = _mm_and_si128(_mm_sub_epi8(text, _mm_set1_epi8('0')), keep);
    const __m128i too_large = _mm_cmpeq_epi8(_mm_max_epu8(values, _mm_set1_epi8(10)), values);
    const __m128i points = _mm_and_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('.')), keep);
    const auto others = static_cast<unsigned>(_mm_movemask_epi8(too_large));
    const auto point = static_cast<unsigned>(_mm_movemask_epi8(points));
    // What is no digit may only be the one point there is.
    number.valid = others == point && (point & (point - 1)) == 0 && size > (point == 0 ? 0U : 1U);
    const auto gap = static_cast<unsigned>(std::countr_zero(point | 1U << word));
    number.fraction = point == 0 ? 0 : word - 1 - gap;
    const __m128i digits = _mm_shuffle_epi8(values, _mm_load_si128(reinterpret_cast<const __m128i*>(&close_gap[gap])));
    const __m128i pairs = _mm_maddubs_epi16(digits, _mm_set1_epi16(0x010A));  // 10, 1
    const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00010064));  // 100, 1
    const __m128i packed = _mm_packus_epi32(fours, fours);
    const __m128i eights = _mm_madd_epi16(packed, _mm_set1_epi32(0x00012710));  // 10 000, 1
    const auto both = static_cast<std::uint64_t>(_mm_cvtsi128_si64(eights));
    number.digits = (both & 0xFFFFFFFFU) * 100'000'000U + (both >> 32U);
    return number;
}

/// @return false if the text must be read in another way.
template <class T>
__attribute__((target("ssse3,sse4.1"), always_inline)) inline bool read_fast(const char* begin, const char* end,
                                                                             T& out) noexcept {
    if (static_cast<std::size_t>(end - begin) - 1 >= word) return false;  // also if it is empty
    const ShortNumber number = read_short(begin, end);
    if (!number.valid) return false;
    if constexpr (std::is_floating_point_v<T>) {
        // At most 15 digits and a power of ten that are exact doubles, or 16 digits alone: rounded once.
        const double size =
            static_cast<double>(static_cast<std::int64_t>(number.digits)) / powers_of_ten[number.fraction];
        if (std::is_same_v<T, float> && is_half_way(size)) return false;
        out = static_cast<T>(number.negative ? -size : size);
        return true;
    } else {
        if (number.fraction != 0 || end[-1] == '.') return false;
        const auto size = static_cast<std::int64_t>(number.digits);
        const std::int64_t value = number.negative ? -size : size;
        out = static_cast<T>(value);
        return out == value;
    }
}

/// Reads fields until one is not short. @return how many it has read.
template <class T>
__attribute__((target("ssse3,sse4.1"))) std::size_t read_short_fields(const CsvRow& row,
                                                                      std::span<const std::uint32_t> columns,
                                                                      std::size_t from, T* out) noexcept {
    const char* const buffer = row.buffer();
    const std::uint32_t* const ends = row.ends();
    const std::size_t last = row.size() - 1;
    for (std::size_t i = from; i < columns.size(); ++i) {
        const std::size_t column = columns[i];
        const char* const begin = buffer + (column == 0 ? row.begin() : ends[column - 1] + std::size_t{1});
        const char* const end = buffer + (column == last ? row.end() : ends[column]);
        if (!read_fast(begin, end, out[i])) return i;
    }
    return columns.size();
}

}  // namespace

#endif

template <class T>
bool CsvNumbers<T>::is_vectorised() noexcept {
#if defined(__x86_64__)
    static const bool can = __builtin_cpu_supports("ssse3") != 0 && __builtin_cpu_supports("sse4.1") != 0;
    return can;
#else
    return false;
#endif
}

template <class T>
bool CsvNumbers<T>::read_one(const CsvRow& row, std::uint32_t column, T& out) const {
    std::string scratch;  // allocates for doubled quotes only, which no number has
    const std::string_view text = row.field(column, scratch);
    if (const auto value = parse_field<T>(text)) {
        out = *value;
        return true;
    }
    if constexpr (std::is_floating_point_v<T>) {
        out = std::numeric_limits<T>::quiet_NaN();
        return empty_ == EmptyField::is_nan && trimmed(text).empty();
    }
    return false;
}

template <class T>
std::size_t CsvNumbers<T>::read_portably(const CsvRow& row, T* out) const {
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        if (!read_one(row, columns_[i], out[i])) return i;
    }
    return columns_.size();
}

template <class T>
std::size_t CsvNumbers<T>::read(const CsvRow& row, T* out) const {
#if defined(__x86_64__)
    if (is_vectorised()) {
        for (std::size_t i = 0;; ++i) {
            i = read_short_fields(row, columns_, i, out);
            if (i == columns_.size() || !read_one(row, columns_[i], out[i])) return i;
        }
    }
#endif
    return read_portably(row, out);
}

template class CsvNumbers<double>;
template class CsvNumbers<float>;
template class CsvNumbers<std::int64_t>;
template class CsvNumbers<std::int32_t>;

}  // namespace penstock
