#pragma once

#include <string>
#include <string_view>

namespace penstock {

/// Where a result named by a pipeline file goes: below `results_dir` unless the name is absolute.
/// @param instance  Put before the suffix when not negative: "a.csv" becomes "a.3.csv".
/// @throws Error{invalid_input} for an empty name, one that ends in '/', or one that climbs with "..".
[[nodiscard]] std::string result_path_in(const std::string& results_dir, std::string_view name, int instance);

}  // namespace penstock
