#include "base/comparison.hpp"

#include <algorithm>
#include <array>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock {
namespace {

constexpr std::array<std::string_view, 6> with_value{"==", "!=", "<=", ">=", "<", ">"};  // the longer ones first
constexpr std::array<std::string_view, 2> without_value{"exists", "missing"};
constexpr std::string_view blanks = " \t";
constexpr std::string_view form =
    R"(write a metadata key and what is asked of its value: "energy > 5", "kind == beam" or "id exists")";

std::string_view trimmed(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
    return text.substr(0, text.find_last_not_of(blanks) + 1);
}

std::string_view without_quotes(std::string_view value) {
    const bool quoted = value.size() >= 2 && value.front() == value.back() && (value[0] == '"' || value[0] == '\'');
    return quoted ? value.substr(1, value.size() - 2) : value;
}

[[noreturn]] void refuse(const std::string& what) {
    throw Error{Errc::invalid_input, what + "; " + std::string{form}};
}

}  // namespace

Comparison parse_comparison(std::string_view text) {
    const std::string_view all = trimmed(text);
    const std::size_t end = std::min(all.find_first_of(" \t=!<>"), all.size());
    const std::string_view key = all.substr(0, end);
    const std::string_view rest = trimmed(all.substr(end));
    if (key.empty()) refuse("names no metadata key");
    if (rest.empty()) refuse("asks nothing of " + in_quotes(key));
    const auto op = std::ranges::find_if(with_value, [&](std::string_view each) { return rest.starts_with(each); });
    if (op != with_value.end()) {
        const std::string_view value = trimmed(rest.substr(op->size()));
        if (value.empty()) refuse("has no value after " + in_quotes(*op));
        const std::string_view bare = without_quotes(value);
        const bool is_quoted = bare.size() != value.size();
        const std::string_view end_of_value = is_quoted ? value.substr(0, 1) : std::string_view{"<>=&|"};
        if (bare.find_first_of(end_of_value) != std::string_view::npos) {
            refuse("has " + std::string{value} + " for one value; quote a text with such letters, and make several " +
                   "comparisons with a channel or a stage for each");
        }
        const bool is_order = op->front() == '<' || op->front() == '>';
        if (bare.empty() && is_order) refuse("asks whether something is " + std::string{*op} + " nothing");
        return {.key = std::string{key}, .op = std::string{*op}, .value = std::string{bare}};
    }
    if (std::ranges::find(without_value, rest) == without_value.end()) {
        refuse("has " + in_quotes(rest) + " after the key, which is none of ==, !=, <, <=, >, >=, exists and missing");
    }
    return {.key = std::string{key}, .op = std::string{rest}};
}

}  // namespace penstock
