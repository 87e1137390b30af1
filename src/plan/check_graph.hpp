#pragma once

#include <string>
#include <vector>

#include <penstock/operator.hpp>
#include <penstock/spec.hpp>

#include "plan/graph.hpp"
#include "spec/problems.hpp"

namespace penstock {

/// What the graph checks need to know of a stage. `info` is null if its operator is unknown.
struct GraphStage {
    const StageSpec* spec;
    const OperatorInfo* info;
};

/// A channel whose two ends exist.
struct GraphChannel {
    const ChannelSpec* spec;
    Edge edge;
};

/// The graph as far as its parts have names that mean something.
struct GraphParts {
    std::vector<GraphStage> stages;
    std::vector<GraphChannel> channels;
    bool complete = true;  ///< Nothing had to be left out; else missing channels are no news.
};

/// Adds what is wrong with the way the stages are joined: cycles, stages that no source reaches, missing and surplus
/// channels, and ends that do not agree on the type of the payload.
void check_graph(const GraphParts& parts, Problems& problems);

/// "jobs/x.json:4: /stages/0/operator", or `stage "a"` for a stage from the builder.
[[nodiscard]] std::string place_of(const StageSpec& stage, std::string_view key = {});
[[nodiscard]] std::string place_of(const ChannelSpec& channel, std::string_view key = {});

}  // namespace penstock
