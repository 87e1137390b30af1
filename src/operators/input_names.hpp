#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock {

/// The files that an "input" parameter names: a path, or a pattern with * ? [ ] and what it matches, sorted.
/// @throws Error{invalid_input} if a pattern matches nothing or cannot be followed.
[[nodiscard]] std::vector<std::string> input_names(const std::string& input);

}  // namespace penstock
