#include "operators/output_channel.hpp"

#include <vector>

#include "base/nearest.hpp"
#include "base/quote.hpp"

namespace penstock {

void check_output_channel(std::string_view param, std::string_view channel, const StageContext& context) {
    const auto ends = context.outputs();
    std::vector<std::string_view> names;
    for (const auto& end : ends) {
        if (end.name == channel) return;
        names.emplace_back(end.name);
    }
    throw Error{Errc::invalid_input, "parameter " + in_quotes(param) + ": no channel " + in_quotes(channel) +
                                         " leads out of stage " + in_quotes(context.stage()) +
                                         suggestion(channel, names, "there are")};
}

std::string output_channel_param(const Params& params, std::string_view name, const StageContext& context) {
    auto channel = params.get<std::string>(name);
    if (!channel.empty()) check_output_channel(name, channel, context);
    return channel;
}

}  // namespace penstock
