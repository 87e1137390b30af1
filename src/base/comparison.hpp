#pragma once

#include <string>
#include <string_view>

namespace penstock {

/// What is asked of one metadata value: `key` `op` `value`.
struct Comparison {
    std::string key;
    std::string op;  ///< "==", "!=", "<", "<=", ">", ">=", "exists" or "missing"; the last two have no value.
    std::string value = {};
};

/// Reads "energy >= 5", "kind == beam", "kind == \"two words\"" or "id exists".
/// @throws Error{invalid_input} that says what is wrong with it, without the text itself.
[[nodiscard]] Comparison parse_comparison(std::string_view text);

}  // namespace penstock
