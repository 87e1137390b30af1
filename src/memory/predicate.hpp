#pragma once

#include <cstdint>
#include <optional>

#include <penstock/memory.hpp>

#include "base/comparison.hpp"

namespace penstock {

/// Compares one metadata value of a payload with a constant.
class Predicate {
public:
    /// @throws Error{invalid_input} if there is no key, or an order is asked of an empty value.
    explicit Predicate(Comparison comparison);

    /// A payload without the key passes `missing` only. Numbers are compared as numbers if the constant is one, truth
    /// values as "true" and "false", strings byte by byte; values of different kinds are not equal, and in no order.
    [[nodiscard]] bool matches(const MetadataView& metadata) const;

private:
    enum class Order : std::uint8_t { less, equal, greater, none };
    [[nodiscard]] Order compare(const MetaValue& value) const;

    Comparison comparison_;
    std::optional<std::int64_t> integer_;
    std::optional<double> number_;
};

}  // namespace penstock
