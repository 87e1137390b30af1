#pragma once

#include <optional>
#include <string>

#include <penstock/params.hpp>

#include "spec/json_tree.hpp"

namespace penstock {

/// A parameter from its JSON value; what it cannot be (null, an object) becomes a problem.
[[nodiscard]] std::optional<ParamValue> read_param(FileProblems& problems, const JsonValue& value,
                                                   const std::string& pointer);

}  // namespace penstock
