#pragma once

#include <string>
#include <string_view>

#include <penstock/operator.hpp>

namespace penstock {

/// A parameter that names an output channel of the stage, or is empty.
/// @throws Error{invalid_input} naming the channels there are, if it is none of them.
[[nodiscard]] std::string output_channel_param(const Params& params, std::string_view name,
                                               const StageContext& context);

/// @throws Error{invalid_input} naming the channels there are, if `channel` is none of them.
void check_output_channel(std::string_view param, std::string_view channel, const StageContext& context);

}  // namespace penstock
