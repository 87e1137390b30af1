#include "operators/predicate.hpp"

#include <charconv>
#include <compare>

#include <fmt/format.h>

#include "operators/number_text.hpp"

namespace penstock {
namespace {

std::optional<std::int64_t> parse_integer(const std::string& text) {
    std::int64_t value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return value;
}

}  // namespace

Predicate::Predicate(const Params& params)
    : key_{params.get<std::string>("key")},
      op_{params.get<std::string>("op")},
      value_{params.get<std::string>("value")},
      integer_{parse_integer(value_)},
      number_{parse_number(value_)} {
    if (key_.empty()) throw Error{Errc::invalid_input, "\"key\" must name a metadata key to compare"};
    if (value_.empty() && (op_.front() == '<' || op_.front() == '>')) {
        throw Error{Errc::invalid_input, "\"op\": \"" + op_ + "\" needs a \"value\" to compare with"};
    }
}

Predicate::Order Predicate::compare(const MetaValue& value) const {
    const auto of = [](std::partial_ordering order) {
        if (order == std::partial_ordering::less) return Order::less;
        if (order == std::partial_ordering::greater) return Order::greater;
        return order == std::partial_ordering::equivalent ? Order::equal : Order::none;
    };
    if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        if (integer_) return of(*whole <=> *integer_);
        return number_ ? of(static_cast<double>(*whole) <=> *number_) : Order::none;
    }
    if (const auto* number = std::get_if<double>(&value)) return number_ ? of(*number <=> *number_) : Order::none;
    if (const auto* text = std::get_if<std::string_view>(&value)) return of(*text <=> std::string_view{value_});
    if (const auto* flag = std::get_if<bool>(&value)) {
        return value_ == (*flag ? "true" : "false") ? Order::equal : Order::none;
    }
    return Order::none;
}

bool Predicate::matches(const MetadataView& metadata) const {
    const auto value = metadata.find(key_);
    if (op_ == "missing") return !value;
    if (!value || op_ == "exists") return value.has_value();
    const Order order = compare(*value);
    if (op_ == "==") return order == Order::equal;
    if (op_ == "!=") return order != Order::equal;
    if (order == Order::equal) return op_.size() == 2;  // <= and >=
    return order == (op_.front() == '<' ? Order::less : Order::greater);
}

std::vector<ParamInfo> predicate_params(std::optional<ParamValue> key) {
    return {{.name = "key",
             .kind = ParamKind::string,
             .help = "Metadata key to look at. A payload without it passes \"missing\" only.",
             .fallback = std::move(key)},
            {.name = "op",
             .kind = ParamKind::string,
             .help = "How its value is compared.",
             .fallback = ParamValue{std::string{"=="}},
             .choices = {"==", "!=", "<", "<=", ">", ">=", "exists", "missing"}},
            {.name = "value",
             .kind = ParamKind::string,
             .help = "What with: \"5\" for the number 5, \"true\" for a truth value, or a string.",
             .fallback = ParamValue{std::string{}}}};
}

std::optional<std::string> text_of(const MetaValue& value) {
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
    if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
    if (const auto* text = std::get_if<std::string_view>(&value)) return std::string{*text};
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    return std::nullopt;
}

}  // namespace penstock
