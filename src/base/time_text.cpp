#include "base/time_text.hpp"

#include <array>
#include <cstring>

namespace penstock {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t day_s = 86'400;

struct Date {
    std::int64_t year;
    unsigned month;
    unsigned day;
};

// Both after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the leap day
// is the last one, and repeat every 400 years, an era.

[[nodiscard]] std::int64_t days_of(Date date) noexcept {
    const std::int64_t year = date.year - (date.month <= 2 ? 1 : 0);
    const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
    const std::int64_t year_of_era = year - era * 400;
    const std::int64_t day_of_year = (153 * ((date.month + 9) % 12) + 2) / 5 + date.day - 1;
    return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

[[nodiscard]] Date date_of(std::int64_t days) noexcept {
    days += 719'468;
    const std::int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
    const std::int64_t day_of_era = days - era * 146'097;
    const std::int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
    const std::int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
    const auto day = static_cast<unsigned>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    const auto month = static_cast<unsigned>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

[[nodiscard]] unsigned days_in(std::int64_t year, unsigned month) noexcept {
    constexpr std::array<unsigned, 12> days{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

char* write_digits(char* out, std::int64_t value, unsigned digits) noexcept {
    for (unsigned i = digits; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
    return out + digits;
}

/// Takes that many digits off the front.
[[nodiscard]] bool read_digits(std::string_view& text, unsigned digits, unsigned& value) noexcept {
    if (text.size() < digits) return false;
    value = 0;
    for (unsigned i = 0; i < digits; ++i) {
        if (text[i] < '0' || text[i] > '9') return false;
        value = value * 10 + static_cast<unsigned>(text[i] - '0');
    }
    text.remove_prefix(digits);
    return true;
}

[[nodiscard]] bool read_one_of(std::string_view& text, std::string_view characters) noexcept {
    if (text.empty() || characters.find(text.front()) == std::string_view::npos) return false;
    text.remove_prefix(1);
    return true;
}

[[nodiscard]] bool read_fraction(std::string_view& text, std::int64_t& ns) noexcept {
    ns = 0;
    if (text.empty() || text.front() != '.') return true;
    text.remove_prefix(1);
    std::size_t digits = 0;
    std::int64_t unit = second_ns / 10;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits, unit /= 10) {
        ns += (text[digits] - '0') * unit;
    }
    text.remove_prefix(digits);
    return digits != 0;
}

[[nodiscard]] bool read_offset(std::string_view& text, std::int64_t& seconds) noexcept {
    seconds = 0;
    if (read_one_of(text, "Zz")) return true;
    const bool behind = !text.empty() && text.front() == '-';
    unsigned hours = 0;
    unsigned minutes = 0;
    if (!read_one_of(text, "+-") || !read_digits(text, 2, hours) || !read_one_of(text, ":") ||
        !read_digits(text, 2, minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    seconds = std::int64_t{hours} * 3600 + std::int64_t{minutes} * 60;
    if (behind) seconds = -seconds;
    return true;
}

}  // namespace

char* write_time(char* out, std::int64_t ns) noexcept {
    std::int64_t seconds = ns / second_ns;
    std::int64_t rest = ns % second_ns;
    if (rest < 0) {
        rest += second_ns;
        --seconds;
    }
    std::int64_t days = seconds / day_s;
    std::int64_t of_day = seconds % day_s;
    if (of_day < 0) {
        of_day += day_s;
        --days;
    }
    const Date date = date_of(days);
    out = write_digits(out, date.year, 4);
    *out++ = '-';
    out = write_digits(out, date.month, 2);
    *out++ = '-';
    out = write_digits(out, date.day, 2);
    *out++ = 'T';
    out = write_digits(out, of_day / 3600, 2);
    *out++ = ':';
    out = write_digits(out, of_day / 60 % 60, 2);
    *out++ = ':';
    out = write_digits(out, of_day % 60, 2);
    if (rest != 0) {
        *out++ = '.';
        out = write_digits(out, rest, 9);
        while (out[-1] == '0') --out;
    }
    *out++ = 'Z';
    return out;
}

std::string time_text(std::int64_t ns) {
    std::array<char, max_time_text> text{};
    return {text.data(), write_time(text.data(), ns)};
}

std::optional<std::int64_t> parse_time(std::string_view text) noexcept {
    unsigned year = 0;
    unsigned month = 0;
    unsigned day = 0;
    unsigned hour = 0;
    unsigned minute = 0;
    unsigned second = 0;
    std::int64_t fraction_ns = 0;
    std::int64_t offset_s = 0;
    const bool read = read_digits(text, 4, year) && read_one_of(text, "-") && read_digits(text, 2, month) &&
                      read_one_of(text, "-") && read_digits(text, 2, day) && read_one_of(text, "Tt ") &&
                      read_digits(text, 2, hour) && read_one_of(text, ":") && read_digits(text, 2, minute) &&
                      read_one_of(text, ":") && read_digits(text, 2, second) && read_fraction(text, fraction_ns) &&
                      read_offset(text, offset_s) && text.empty();
    if (!read || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 ||
        second > 60) {
        return std::nullopt;
    }
    const std::int64_t seconds = days_of({year, month, day}) * day_s + hour * 3600 + minute * 60 + second - offset_s;
    std::int64_t ns = 0;
    if (__builtin_mul_overflow(seconds, second_ns, &ns) || __builtin_add_overflow(ns, fraction_ns, &ns)) {
        return std::nullopt;
    }
    return ns;
}

}  // namespace penstock
