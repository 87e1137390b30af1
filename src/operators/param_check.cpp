#include "operators/param_check.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <penstock/error.hpp>

#include "base/nearest.hpp"
#include "base/quantity.hpp"
#include "base/quote.hpp"

namespace penstock {
namespace {

struct KindEntry {
    std::string_view name;
    std::string_view legal;
};

// In the order of ParamKind.
constexpr std::array<KindEntry, 7> kinds{{
    {"boolean", "true or false"},
    {"integer", "an integer"},
    {"number", "a number"},
    {"string", "a string"},
    {"list", "a list"},
    {"duration", "a duration such as \"500ms\", \"2s\", \"5m\", or a number of milliseconds"},
    {"size", "a size such as \"64KiB\", \"1MB\", or a number of bytes"},
}};

const KindEntry& entry_of(ParamKind kind) noexcept {
    return kinds[static_cast<std::size_t>(kind)];
}

[[noreturn]] void fail(const ParamInfo& info, std::string_view legal, std::string_view found) {
    throw Error{Errc::invalid_input,
                fmt::format("parameter {} must be {}, not {}", in_quotes(info.name), legal, found)};
}

/// JSON text is escaped already, but may be long.
std::string shown(const ParamValue& value) {
    const auto* string = std::get_if<std::string>(&value.value);
    return string != nullptr ? in_quotes(*string) : printable(value.text());
}

std::optional<std::int64_t> as_integer(const ParamValue& value) noexcept {
    if (const auto* integer = std::get_if<std::int64_t>(&value.value)) return *integer;
    const auto* number = std::get_if<double>(&value.value);
    constexpr double limit = 9007199254740992.0;  // 2^53: beyond it a double does not tell neighbours apart
    if (number == nullptr || std::abs(*number) > limit || std::trunc(*number) != *number) return std::nullopt;
    return static_cast<std::int64_t>(*number);
}

std::optional<ParamValue> as_duration(const ParamValue& value) {
    if (const auto* text = std::get_if<std::string>(&value.value)) {
        const auto duration = parse_duration(*text);
        if (!duration) return std::nullopt;
        return ParamValue{std::int64_t{duration->count()}};
    }
    // As far as nanoseconds go, which durations are counted in.
    constexpr double longest_ms = 9.2e12;
    const auto* integer = std::get_if<std::int64_t>(&value.value);
    const auto* real = std::get_if<double>(&value.value);
    const double ms = integer != nullptr ? static_cast<double>(*integer) : real != nullptr ? *real : longest_ms * 2;
    return std::abs(ms) <= longest_ms ? std::optional{value} : std::nullopt;
}

std::optional<ParamValue> as_size(const ParamValue& value) {
    if (const auto* text = std::get_if<std::string>(&value.value)) {
        const auto bytes = parse_bytes(*text);
        if (!bytes) return std::nullopt;
        return ParamValue{static_cast<std::int64_t>(*bytes)};
    }
    const auto bytes = as_integer(value);
    return bytes ? std::optional{ParamValue{*bytes}} : std::nullopt;
}

/// The value in the form of its kind; nothing if it has another kind.
std::optional<ParamValue> converted(ParamKind kind, const ParamValue& value) {
    const auto if_holds = [&](bool right) { return right ? std::optional{value} : std::nullopt; };
    switch (kind) {
        case ParamKind::boolean: return if_holds(std::holds_alternative<bool>(value.value));
        case ParamKind::string: return if_holds(std::holds_alternative<std::string>(value.value));
        case ParamKind::list: return if_holds(std::holds_alternative<ParamValue::List>(value.value));
        case ParamKind::number:
            return if_holds(std::holds_alternative<std::int64_t>(value.value) ||
                            std::holds_alternative<double>(value.value));
        case ParamKind::duration: return as_duration(value);
        case ParamKind::size: return as_size(value);
        case ParamKind::integer: break;
    }
    const auto integer = as_integer(value);
    return integer ? std::optional{ParamValue{*integer}} : std::nullopt;
}

void check_range(const ParamInfo& info, const ParamValue& value) {
    double number = 0;
    if (const auto* integer = std::get_if<std::int64_t>(&value.value)) {
        number = static_cast<double>(*integer);
    } else if (const auto* real = std::get_if<double>(&value.value)) {
        number = *real;
    } else {
        return;
    }
    const std::string unit = info.unit.empty() ? "" : " " + info.unit;
    if (!std::isfinite(number)) fail(info, "a finite number", value.text());
    if (info.minimum && number < *info.minimum)
        fail(info, fmt::format("at least {}{}", *info.minimum, unit), value.text());
    if (info.maximum && number > *info.maximum)
        fail(info, fmt::format("at most {}{}", *info.maximum, unit), value.text());
}

void check_choice(const ParamInfo& info, const ParamValue& value) {
    const auto* text = std::get_if<std::string>(&value.value);
    if (info.choices.empty() || text == nullptr) return;
    if (std::find(info.choices.begin(), info.choices.end(), *text) != info.choices.end()) return;
    const std::vector<std::string_view> choices{info.choices.begin(), info.choices.end()};
    throw Error{Errc::invalid_input, "parameter " + in_quotes(info.name) + " cannot be " + in_quotes(*text) +
                                         suggestion(*text, choices, "choose from")};
}

std::optional<bool> read_boolean(std::string_view text) noexcept {
    if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
    if (text == "false" || text == "no" || text == "off" || text == "0") return false;
    return std::nullopt;
}

template <class Number>
std::optional<Number> read_number(std::string_view text) noexcept {
    Number number{};
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return number;
}

ParamValue::List read_list(std::string_view text) {
    ParamValue::List list;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        list.push_back(ParamValue{std::string{text.substr(0, comma)}});
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return list;
}

/// What the text says; the text itself if it cannot be read as that kind.
ParamValue read_text(ParamKind kind, std::string_view text) {
    if (kind == ParamKind::list) return ParamValue{read_list(text)};
    if (kind == ParamKind::boolean) {
        if (const auto flag = read_boolean(text)) return ParamValue{*flag};
    } else if (kind != ParamKind::string) {
        if (const auto integer = read_number<std::int64_t>(text)) return ParamValue{*integer};
        if (const auto number = read_number<double>(text)) return ParamValue{*number};
    }
    return ParamValue{std::string{text}};
}

}  // namespace

std::string_view name_of(ParamKind kind) noexcept {
    return entry_of(kind).name;
}

ParamValue checked_param(const ParamInfo& info, const ParamValue& value) {
    auto result = converted(info.kind, value);
    if (!result) fail(info, entry_of(info.kind).legal, shown(value));
    check_range(info, *result);
    check_choice(info, *result);
    return std::move(*result);
}

ParamValue param_from_env(const ParamInfo& info, std::string_view text) {
    return with_context([&] { return "reading it from environment variable " + in_quotes(info.env); },
                        [&] { return checked_param(info, read_text(info.kind, text)); });
}

}  // namespace penstock
