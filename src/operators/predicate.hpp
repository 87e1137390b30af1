#pragma once

#include <optional>
#include <string>
#include <vector>

#include <penstock/operator.hpp>

#include "memory/predicate.hpp"

namespace penstock {

/// "key", "op" and "value". @param key  Without one the key is required.
[[nodiscard]] std::vector<ParamInfo> predicate_params(std::optional<ParamValue> key = {});
/// What those parameters say.
[[nodiscard]] Comparison comparison_of(const Params& params);

/// What a metadata value is as text; nothing for bytes.
[[nodiscard]] std::optional<std::string> text_of(const MetaValue& value);

}  // namespace penstock
