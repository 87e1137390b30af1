#pragma once

#include <string>

#include <penstock/operator.hpp>

namespace penstock::cli {

/// What a parameter may be, beyond its type: "at least 0", "0 to 1", "sum | mean"; empty if that is all.
[[nodiscard]] std::string legal_text(const ParamInfo& param);

/// A payload type, "any" if it is empty.
[[nodiscard]] std::string type_text(const std::string& type);

/// docs/operators.md: every operator of the registry with its parameters, in Markdown.
[[nodiscard]] std::string operators_page(const Registry& registry);

}  // namespace penstock::cli
