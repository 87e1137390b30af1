#include "spec/json_fields.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <penstock/version.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "spec/names.hpp"

namespace penstock {
namespace {

/// The number that somebody put into quotes.
std::optional<std::int64_t> quoted_integer(const JsonValue& value) noexcept {
    const auto* text = std::get_if<std::string>(&value.value);
    if (text == nullptr) return std::nullopt;
    std::int64_t number = 0;
    const char* end = text->data() + text->size();
    const auto [rest, error] = std::from_chars(text->data(), end, number);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return number;
}

std::string member(std::string_view key, std::string_view value) {
    return in_quotes(key).append(": ").append(value);
}

std::string alternatives(const std::vector<std::string_view>& names) {
    std::string text = names.size() == 1 ? "" : "one of ";
    for (std::size_t i = 0; i < names.size(); ++i) text.append(i == 0 ? "" : ", ").append(in_quotes(names[i]));
    return text;
}

}  // namespace

std::optional<std::int64_t> as_integer(const JsonValue& value) noexcept {
    if (const auto* number = std::get_if<std::int64_t>(&value.value)) return *number;
    const auto* decimal = std::get_if<Decimal>(&value.value);
    constexpr double exact = 9007199254740992.0;  // 2^53: beyond it a double skips integers
    if (decimal == nullptr || std::abs(decimal->value) > exact || std::trunc(decimal->value) != decimal->value) {
        return std::nullopt;
    }
    return static_cast<std::int64_t>(decimal->value);
}

std::string unavailable(std::string_view what) {
    return in_quotes(what).append(" is not available in version ").append(version);
}

const JsonValue* JsonFields::find(std::string_view key) const noexcept {
    const auto& object = *value_.object();
    const auto found = std::ranges::find(object, key, &JsonMember::key);
    return found == object.end() ? nullptr : &found->value;
}

void JsonFields::refuse(std::string_view key, std::string_view text, Errc code) const {
    const JsonValue* found = find(key);
    problems_.add(found != nullptr ? found->line : value_.line, found != nullptr ? pointer(key) : pointer_, text, code);
}

void JsonFields::refuse_unknown_keys(std::span<const std::string_view> known) const {
    for (const auto& [key, value, line] : *value_.object()) {
        if (std::ranges::find(known, key) != known.end()) continue;
        const auto advice = problems_.full() ? std::string{} : suggestion(key, known, "the keys here are");
        problems_.add(line, pointer(key), "unknown key " + in_quotes(key) + advice);
    }
}

void JsonFields::refuse_unavailable(std::string_view key) const {
    if (find(key) != nullptr) refuse(key, unavailable(key) + "; remove it", Errc::unsupported);
}

bool JsonFields::require(std::string_view key, std::string_view advice) const {
    if (find(key) != nullptr) return true;
    refuse(key, "has no " + in_quotes(key) + "; add " + member(key, advice));
    return false;
}

std::optional<std::string> JsonFields::text(std::string_view key) const {
    const JsonValue* found = find(key);
    if (found == nullptr) return std::nullopt;
    if (const auto* text = std::get_if<std::string>(&found->value)) return *text;
    refuse(key, "must be a string, not " + found->text() + "; write it in double quotes");
    return std::nullopt;
}

std::optional<std::string> JsonFields::name(std::string_view key, std::string_view advice) const {
    auto given = text(key);
    if (!given || is_name(*given)) return given;
    refuse(key, std::string{"must be "}
                    .append(name_rule)
                    .append(", not ")
                    .append(in_quotes(*given))
                    .append("; write ")
                    .append(member(key, in_quotes(as_name(*given, advice)))));
    return std::nullopt;
}

std::optional<std::int64_t> JsonFields::integer(std::string_view key, IntegerRange range) const {
    const JsonValue* found = find(key);
    if (found == nullptr) return std::nullopt;
    const auto legal = [range](std::int64_t number) { return number >= range.minimum && number <= range.maximum; };
    const auto number = as_integer(*found);
    if (number && legal(*number)) return number;
    const auto meant = quoted_integer(*found);
    refuse(key, "must be a number from " + std::to_string(range.minimum) + " to " + std::to_string(range.maximum) +
                    ", not " + found->text() + "; write " +
                    member(key, std::to_string(meant && legal(*meant) ? *meant : range.advice)));
    return std::nullopt;
}

void JsonFields::refuse_word(std::string_view key, const JsonValue& found, const std::vector<std::string_view>& names,
                             bool later) const {
    if (later) {
        const auto& word = std::get<std::string>(found.value);
        refuse(key, unavailable(word) + "; write " + member(key, in_quotes(names.front())), Errc::unsupported);
        return;
    }
    const auto* word = std::get_if<std::string>(&found.value);
    const auto meant = word == nullptr ? std::nullopt : nearest(*word, names);
    refuse(key, "must be " + alternatives(names) + ", not " + found.text() +
                    (meant ? "; did you mean " + in_quotes(*meant) + "?"
                           : "; write " + member(key, in_quotes(names.front()))));
}

}  // namespace penstock
