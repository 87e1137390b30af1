#pragma once

#include <nlohmann/json.hpp>

#include <penstock/spec.hpp>

namespace penstock {

/// As the pipeline file has it. REQUIRES: it is not `by_rank`, for which the file has no word.
[[nodiscard]] nlohmann::ordered_json placement_json(const StagePlacement& placement);

}  // namespace penstock
