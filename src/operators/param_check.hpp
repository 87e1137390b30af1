#pragma once

#include <string_view>

#include <penstock/operator.hpp>

namespace penstock {

/// The value in the form that the operator expects: integers for numbers written like "1e6", sizes in bytes, durations
/// in milliseconds.
/// @throws Error{invalid_input} naming the parameter and what is legal.
[[nodiscard]] ParamValue checked_param(const ParamInfo& info, const ParamValue& value);

/// The same from the text of the parameter's environment variable; a list is separated by commas.
/// @throws Error{invalid_input} naming the variable too.
[[nodiscard]] ParamValue param_from_env(const ParamInfo& info, std::string_view text);

}  // namespace penstock
