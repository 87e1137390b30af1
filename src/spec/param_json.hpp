#pragma once

#include <nlohmann/json.hpp>

#include <penstock/params.hpp>

namespace penstock {

[[nodiscard]] nlohmann::ordered_json param_json(const ParamValue& value);
[[nodiscard]] nlohmann::ordered_json params_json(const Params& params);

}  // namespace penstock
