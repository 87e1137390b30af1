#pragma once

#include <nlohmann/json.hpp>

#include <penstock/spec.hpp>

namespace penstock {

/// As the pipeline file has it. REQUIRES: it says something.
[[nodiscard]] nlohmann::ordered_json placement_json(const StagePlacement& placement);

}  // namespace penstock
