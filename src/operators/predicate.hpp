#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <penstock/operator.hpp>

namespace penstock {

/// Compares one metadata value of a payload with a constant.
class Predicate {
public:
    /// Reads the parameters that `predicate_params` describes.
    /// @throws Error{invalid_input} if there is no key, or an order is asked of an empty value.
    explicit Predicate(const Params& params);

    /// A payload without the key passes `missing` only. Numbers are compared as numbers if the constant is one, truth
    /// values as "true" and "false", strings byte by byte; values of different kinds are not equal, and in no order.
    [[nodiscard]] bool matches(const MetadataView& metadata) const;

private:
    enum class Order : std::uint8_t { less, equal, greater, none };
    [[nodiscard]] Order compare(const MetaValue& value) const;

    std::string key_;
    std::string op_;
    std::string value_;
    std::optional<std::int64_t> integer_;
    std::optional<double> number_;
};

/// "key", "op" and "value". @param key  Without one the key is required.
[[nodiscard]] std::vector<ParamInfo> predicate_params(std::optional<ParamValue> key = {});

/// What a metadata value is as text; nothing for bytes.
[[nodiscard]] std::optional<std::string> text_of(const MetaValue& value);

}  // namespace penstock
