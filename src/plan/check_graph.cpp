#include "plan/check_graph.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "base/quote.hpp"
#include "spec/names.hpp"

namespace penstock {
namespace {

/// Calls `use` for each alternative of "f32 or f64"; "numbers" has ten.
template <class Use>
void for_each_type(std::string_view types, const Use& use) {
    constexpr std::array<std::string_view, 10> numbers{"i8",  "u8",  "i16", "u16", "i32",
                                                       "u32", "i64", "u64", "f32", "f64"};
    constexpr std::string_view separator = " or ";
    while (!types.empty()) {
        const std::size_t end = std::min(types.find(separator), types.size());
        const std::string_view type = types.substr(0, end);
        if (type == "numbers") std::ranges::for_each(numbers, use);
        use(type);
        types.remove_prefix(std::min(end + separator.size(), types.size()));
    }
}

/// Whether something of what is emitted may be taken.
bool have_common_type(std::string_view emitted, std::string_view taken) {
    bool common = false;
    for_each_type(emitted, [&](std::string_view type) {
        for_each_type(taken, [&](std::string_view other) { common = common || type == other; });
    });
    return common;
}

std::string at(const std::string& where, const std::string& fallback, std::string_view key) {
    if (where.empty()) return fallback;
    return key.empty() ? where : where + '/' + std::string{key};
}

class GraphCheck {
public:
    GraphCheck(const GraphParts& parts, Problems& problems)
        : stages_{parts.stages},
          channels_{parts.channels},
          complete_{parts.complete},
          problems_{problems},
          graph_{stages_.size(), edges_of(channels_)},
          inputs_(stages_.size(), 0),
          outputs_(stages_.size(), 0) {
        for (const auto& [spec, edge] : channels_) {
            ++outputs_[edge.from];
            ++inputs_[edge.to];
        }
    }

    void run() {
        for (std::size_t stage = 0; stage < stages_.size(); ++stage) check_ends(stage);
        const auto on_cycle = check_cycles();
        if (complete_) check_reach(on_cycle);
        for (const auto& channel : channels_) check_types(channel);
    }

private:
    static std::vector<Edge> edges_of(const std::vector<GraphChannel>& channels) {
        std::vector<Edge> edges;
        for (const auto& channel : channels) edges.push_back(channel.edge);
        return edges;
    }

    void check_ends(std::size_t index) {
        const auto& [spec, info] = stages_[index];
        if (info == nullptr) return;
        const auto add = [&, stage = spec, known = info](std::string_view what) {
            problems_.add(place_of(*stage) + ": stage " + in_quotes(stage->name) + " runs the " +
                          std::string{name_of(known->kind)} + ' ' + in_quotes(known->name) + std::string{what});
        };
        const bool is_source = info->kind == OperatorKind::source;
        const bool is_sink = info->kind == OperatorKind::sink;
        if (is_source && inputs_[index] > 0) add(" but has an input; remove the channel to it or run a processor");
        if (is_sink && outputs_[index] > 0) add(" but has an output; remove the channel from it or run a processor");
        if (!complete_) return;
        if (!is_source && inputs_[index] == 0) add(" but has no input: no source reaches it; add a channel to it");
        if (!is_sink && outputs_[index] == 0) add(" but has no output; add a channel from it");
    }

    /// @return which stages lie on a reported cycle.
    std::vector<bool> check_cycles() {
        std::vector<bool> on_cycle(stages_.size(), false);
        for (const auto& cycle : graph_.cycles()) {
            std::string path;
            for (const auto stage : cycle) {
                on_cycle[stage] = true;
                path += stages_[stage].spec->name + " -> ";
            }
            problems_.add(place_of(*stages_[cycle.front()].spec) + ": the channels form a cycle: " + path +
                          stages_[cycle.front()].spec->name + "; remove one of them");
        }
        return on_cycle;
    }

    void check_reach(const std::vector<bool>& on_cycle) {
        std::vector<std::uint16_t> sources;
        for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
            const auto* info = stages_[stage].info;
            const bool source = info != nullptr ? info->kind == OperatorKind::source : inputs_[stage] == 0;
            if (source) sources.push_back(static_cast<std::uint16_t>(stage));
        }
        const auto reached = graph_.reachable_from(sources);
        for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
            if (reached[stage] || on_cycle[stage] || inputs_[stage] == 0) continue;
            const auto& spec = *stages_[stage].spec;
            problems_.add(place_of(spec) + ": no source reaches stage " + in_quotes(spec.name) +
                          "; follow its inputs back and add a channel from a source");
        }
    }

    void check_types(const GraphChannel& channel) {
        const auto* from = stages_[channel.edge.from].info;
        const auto* to = stages_[channel.edge.to].info;
        if (from == nullptr || to == nullptr || from->output.empty() || to->input.empty()) return;
        if (have_common_type(from->output, to->input)) return;
        problems_.add(place_of(*channel.spec) + ": " + in_quotes(channel.spec->from) + " emits " +
                      in_quotes(from->output) + " (" + from->name + ") but " + in_quotes(channel.spec->to) + " takes " +
                      in_quotes(to->input) + " (" + to->name + "); put a stage between them that converts");
    }

    const std::vector<GraphStage>& stages_;
    const std::vector<GraphChannel>& channels_;
    bool complete_;
    Problems& problems_;
    Graph graph_;
    std::vector<std::size_t> inputs_;
    std::vector<std::size_t> outputs_;
};

}  // namespace

std::string place_of(const StageSpec& stage, std::string_view key) {
    return at(stage.where, "stage " + in_quotes(stage.name), key);
}

std::string place_of(const ChannelSpec& channel, std::string_view key) {
    return at(channel.where, "channel " + in_quotes(channel_name(channel)), key);
}

void check_graph(const GraphParts& parts, Problems& problems) {
    GraphCheck{parts, problems}.run();
}

}  // namespace penstock
