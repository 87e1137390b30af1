#include "operators/number_text.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

namespace penstock {
namespace {

constexpr auto two_digits = [] {
    std::array<char, 200> digits{};
    for (std::size_t i = 0; i < 100; ++i) {
        digits[2 * i] = static_cast<char>('0' + i / 10);
        digits[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
    return digits;
}();

constexpr std::size_t exact_digits = 15;
constexpr std::array<double, exact_digits + 1> powers_of_ten{1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                             1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

struct Digits {
    std::uint64_t value = 0;  // wraps around beyond 19 digits
    std::size_t count = 0;

    /// @return the first character that is no digit.
    const char* read(const char* at, const char* end) noexcept {
        const char* const begin = at;
        for (; at != end; ++at) {
            const auto digit = static_cast<unsigned char>(*at - '0');
            if (digit > 9) break;
            value = value * 10 + digit;
        }
        count += static_cast<std::size_t>(at - begin);
        return at;
    }
};

std::size_t digit_count(std::uint64_t value) noexcept {
    std::size_t count = 1;
    for (; value >= 10'000; value /= 10'000) count += 4;
    if (value >= 1'000) return count + 3;
    if (value >= 100) return count + 2;
    return value >= 10 ? count + 1 : count;
}

char* write_any(char* out, double value) noexcept {
    char* const limit = out + max_number_text;
    const double size = std::abs(value);
    const bool fixed = size >= 1e-4 && size < 1e16;
    if (!fixed) return std::to_chars(out, limit, value, std::chars_format::scientific).ptr;
    char* const end = std::to_chars(out, limit, value, std::chars_format::fixed).ptr;
    if (std::memchr(out, '.', static_cast<std::size_t>(end - out)) != nullptr) return end;
    std::memcpy(end, ".0", 2);
    return end + 2;
}

}  // namespace

char* write_integer(char* out, std::uint64_t value) noexcept {
    char* const end = out + digit_count(value);
    char* at = end;
    for (; value >= 100; value /= 100) {
        at -= 2;
        std::memcpy(at, &two_digits[2 * (value % 100)], 2);
    }
    if (value >= 10) {
        std::memcpy(at - 2, &two_digits[2 * value], 2);
    } else {
        at[-1] = static_cast<char>('0' + value);
    }
    return end;
}

char* write_number(char* out, double value) noexcept {
    // Whole numbers and halves, which are most of what streams carry, need no search for the shortest text.
    constexpr double exact = 4e15;
    const double twice = value * 2;
    if (!(std::abs(value) < exact)) return write_any(out, value);
    const auto halves = static_cast<std::int64_t>(twice);
    if (static_cast<double>(halves) != twice) return write_any(out, value);
    if (std::signbit(value)) *out++ = '-';
    const auto size = static_cast<std::uint64_t>(halves < 0 ? -halves : halves);
    out = write_integer(out, size / 2);
    std::memcpy(out, size % 2 == 0 ? ".0" : ".5", 2);
    return out + 2;
}

std::optional<double> parse_number(std::string_view text) noexcept {
    const char* at = text.data();
    const char* const end = at + text.size();
    const bool negative = at != end && *at == '-';
    if (negative) ++at;
    Digits digits;
    at = digits.read(at, end);
    const std::size_t whole = digits.count;
    if (at != end && *at == '.') at = digits.read(at + 1, end);
    // Up to 15 digits and a power of ten are exact doubles, and so their quotient is the nearest one.
    if (at == end && whole > 0 && digits.count <= exact_digits) {
        const double size = static_cast<double>(digits.value) / powers_of_ten[digits.count - whole];
        return negative ? -size : size;
    }
    double value = 0;
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return value;
}

}  // namespace penstock
