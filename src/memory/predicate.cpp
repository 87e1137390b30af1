#include "memory/predicate.hpp"

#include <charconv>
#include <compare>

#include <penstock/error.hpp>

namespace penstock {
namespace {

/// The whole text as a number, or nothing.
template <class Number>
std::optional<Number> parse(const std::string& text) {
    Number value{};
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || rest != end) return std::nullopt;
    return value;
}

}  // namespace

Predicate::Predicate(Comparison comparison)
    : comparison_{std::move(comparison)},
      integer_{parse<std::int64_t>(comparison_.value)},
      number_{parse<double>(comparison_.value)} {
    const std::string& op = comparison_.op;
    if (comparison_.key.empty()) throw Error{Errc::invalid_input, "\"key\" must name a metadata key to compare"};
    if (comparison_.value.empty() && (op.front() == '<' || op.front() == '>')) {
        throw Error{Errc::invalid_input, "\"op\": \"" + op + "\" needs a \"value\" to compare with"};
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
    if (const auto* text = std::get_if<std::string_view>(&value))
        return of(*text <=> std::string_view{comparison_.value});
    if (const auto* flag = std::get_if<bool>(&value)) {
        return comparison_.value == (*flag ? "true" : "false") ? Order::equal : Order::none;
    }
    return Order::none;
}

bool Predicate::matches(const MetadataView& metadata) const {
    const auto value = metadata.find(comparison_.key);
    if (comparison_.op == "missing") return !value;
    if (!value || comparison_.op == "exists") return value.has_value();
    const Order order = compare(*value);
    if (comparison_.op == "==") return order == Order::equal;
    if (comparison_.op == "!=") return order != Order::equal;
    if (order == Order::equal) return comparison_.op.size() == 2;  // <= and >=
    return order == (comparison_.op.front() == '<' ? Order::less : Order::greater);
}

}  // namespace penstock
