#include "plan/phases.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include <penstock/error.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "plan/results_reference.hpp"

namespace penstock {
namespace {

/// Which phase each stage is of. Phases are numbered in the order of their first stages.
class PhaseMap {
public:
    PhaseMap(std::size_t stages, const std::vector<Edge>& channels) : parents_(stages), phases_(stages) {
        std::iota(parents_.begin(), parents_.end(), std::size_t{0});
        for (const auto& [from, to] : channels) {
            const auto [low, high] = std::minmax({root(from), root(to)});
            parents_[high] = low;
        }
        for (std::size_t stage = 0; stage < stages; ++stage) {
            const std::size_t first = root(stage);
            if (first == stage) firsts_.push_back(stage);
            phases_[stage] = first == stage ? static_cast<std::uint16_t>(firsts_.size() - 1) : phases_[first];
        }
    }

    [[nodiscard]] std::size_t size() const noexcept { return firsts_.size(); }
    [[nodiscard]] std::uint16_t of(std::size_t stage) const noexcept { return phases_[stage]; }
    [[nodiscard]] std::size_t first_stage(std::size_t phase) const noexcept { return firsts_[phase]; }

private:
    [[nodiscard]] std::size_t root(std::size_t stage) noexcept {
        while (parents_[stage] != stage) {
            parents_[stage] = parents_[parents_[stage]];
            stage = parents_[stage];
        }
        return stage;
    }

    std::vector<std::size_t> parents_;
    std::vector<std::uint16_t> phases_;
    std::vector<std::size_t> firsts_;
};

using StageNumbers = std::unordered_map<std::string_view, std::uint16_t>;

[[nodiscard]] StageNumbers numbers_of(const PipelineSpec& spec) {
    StageNumbers numbers;
    for (const StageSpec& stage : spec.stages) numbers.emplace(stage.name, static_cast<std::uint16_t>(numbers.size()));
    return numbers;
}

class PhaseCheck {
public:
    PhaseCheck(const PipelineSpec& spec, const GraphParts& parts, const Plan& plan, Problems& problems)
        : spec_{spec},
          plan_{plan},
          problems_{problems},
          numbers_{numbers_of(spec)},
          phases_{spec.stages.size(), edges_of(parts)} {}

    void check_order() {
        for (std::uint16_t stage = 0; stage < spec_.stages.size(); ++stage) {
            for (const std::string& name : spec_.stages[stage].after) add_edge(stage, name);
        }
        for (const auto& cycle : Graph{phases_.size(), order_}.cycles()) {
            std::string path;
            for (const auto phase : cycle) path += in_quotes(name_of_phase(phase)) + " before ";
            problems_.add(place_of(spec_.stages[waiting_stage(cycle.front())], "after") +
                          ": the phases wait for each other: " + path + in_quotes(name_of_phase(cycle.front())) +
                          "; remove one \"after\"");
        }
    }

    void check_placement() {
        for (std::size_t number = 0; number < spec_.stages.size(); ++number) {
            const StageSpec& stage = spec_.stages[number];
            if (stage.placement.rule != PlacementRule::with) continue;
            const auto other = numbers_.find(stage.placement.stage);
            if (other == numbers_.end() || phases_.of(other->second) == phases_.of(number)) continue;
            problems_.add(place_of(stage, "placement/with") + ": stage " + in_quotes(stage.placement.stage) +
                          " is of another phase, which runs at another time; name one of the same phase");
        }
    }

    void check_results() {
        std::vector<Edge> back;
        for (const auto& [from, to] : order_) back.push_back({.from = to, .to = from});
        const Graph before{phases_.size(), back};
        for (std::size_t number = 0; number < spec_.stages.size(); ++number) {
            for (const auto& param : plan_.stages[number].params) {
                for_each_text(param.second, [&](const std::string& text) {
                    if (is_results_reference(text)) check_reference(before, number, param.first, text);
                });
            }
        }
    }

private:
    static std::vector<Edge> edges_of(const GraphParts& parts) {
        std::vector<Edge> edges;
        for (const GraphChannel& channel : parts.channels) edges.push_back(channel.edge);
        return edges;
    }

    [[nodiscard]] const std::string& name_of_phase(std::size_t phase) const {
        return spec_.stages[phases_.first_stage(phase)].name;
    }

    /// One of that phase that has an `after`. REQUIRES: the phase waits for another one.
    [[nodiscard]] std::size_t waiting_stage(std::uint16_t phase) const {
        std::size_t stage = 0;
        while (phases_.of(stage) != phase || spec_.stages[stage].after.empty()) ++stage;
        return stage;
    }

    [[nodiscard]] std::string no_stage(std::string_view name) const {
        std::vector<std::string_view> names;
        for (const StageSpec& stage : spec_.stages) names.push_back(stage.name);
        return "unknown stage " + in_quotes(name) + suggestion(name, names, "the stages are");
    }

    void add_edge(std::uint16_t stage, const std::string& name) {
        const StageSpec& waiting = spec_.stages[stage];
        const auto other = numbers_.find(name);
        if (other == numbers_.end()) {
            if (!problems_.full()) problems_.add(place_of(waiting, "after") + ": " + no_stage(name));
        } else if (phases_.of(other->second) != phases_.of(stage)) {
            order_.push_back({.from = phases_.of(other->second), .to = phases_.of(stage)});
        } else {
            problems_.add(place_of(waiting, "after") + ": " +
                          (other->second == stage
                               ? "stage " + in_quotes(name) + " cannot run after itself; remove the \"after\""
                               : "stage " + in_quotes(waiting.name) + " cannot run after " + in_quotes(name) +
                                     ": channels join them, so they run together; remove the \"after\", or the "
                                     "channels"));
        }
    }

    void check_reference(const Graph& before, std::size_t number, const std::string& param, const std::string& text) {
        const StageSpec& stage = spec_.stages[number];
        const auto add = [&](const std::string& what) {
            problems_.add(place_of(stage, "params/" + param) + ": " + what);
        };
        std::string_view name;
        try {
            name = read_results_reference(text).stage;
        } catch (const Error& error) {
            const std::string_view what = error.what();
            return add(std::string{what.substr(what.find(": ") + 2)});
        }
        const auto other = numbers_.find(name);
        if (other == numbers_.end()) return add(in_quotes(text) + " names an " + no_stage(name));
        const std::uint16_t own = phases_.of(number);
        const std::uint16_t theirs = phases_.of(other->second);
        if (own == theirs) {
            return add(in_quotes(text) +
                       " names the results of the stage's own phase, which come with its end; join "
                       "the stages by a channel, or put them into two phases");
        }
        const std::vector<std::uint16_t> start{own};
        if (before.reachable_from(start)[theirs]) return;
        add(in_quotes(text) + " needs the phase of stage " + in_quotes(name) + " to have ended; write \"after\": [" +
            in_quotes(name) + "]");
    }

    const PipelineSpec& spec_;
    const Plan& plan_;
    Problems& problems_;
    StageNumbers numbers_;
    PhaseMap phases_;
    std::vector<Edge> order_;  // between phases, from the one that is first
};

}  // namespace

bool has_phases(const PipelineSpec& spec) noexcept {
    return std::ranges::any_of(spec.stages, [](const StageSpec& stage) { return !stage.after.empty(); });
}

void check_phases(const PipelineSpec& spec, const GraphParts& parts, const Plan& plan, Problems& problems) {
    PhaseCheck check{spec, parts, plan, problems};
    check.check_order();
    if (!parts.complete) return;  // what is missing may join two phases
    if (has_phases(spec)) check.check_placement();
    check.check_results();
}

std::vector<PhaseSpec> split_phases(const PipelineSpec& spec) {
    const StageNumbers numbers = numbers_of(spec);
    std::vector<Edge> channels;
    for (const ChannelSpec& channel : spec.channels) {
        channels.push_back({.from = numbers.at(channel.from), .to = numbers.at(channel.to)});
    }
    const PhaseMap phases{spec.stages.size(), channels};
    std::vector<Edge> order;
    for (std::size_t stage = 0; stage < spec.stages.size(); ++stage) {
        for (const std::string& name : spec.stages[stage].after) {
            order.push_back({.from = phases.of(numbers.at(name)), .to = phases.of(stage)});
        }
    }
    const auto name_of_phase = [&](std::size_t phase) { return spec.stages[phases.first_stage(phase)].name; };

    std::vector<PhaseSpec> split;
    std::vector<std::size_t> place(phases.size());
    for (const std::uint16_t phase : Graph{phases.size(), order}.topological_order()) {
        place[phase] = split.size();
        split.push_back({.spec = {.name = spec.name, .stages = {}, .channels = {}, .file = spec.file},
                         .info = {.name = name_of_phase(phase),
                                  .number = static_cast<std::uint32_t>(split.size() + 1),
                                  .of = static_cast<std::uint32_t>(phases.size())}});
        for (const auto& [from, to] : order) {
            auto& after = split.back().info.after;
            if (to != phase || std::ranges::find(after, name_of_phase(from)) != after.end()) continue;
            after.push_back(name_of_phase(from));
        }
    }
    for (std::size_t stage = 0; stage < spec.stages.size(); ++stage) {
        auto& stages = split[place[phases.of(stage)]].spec.stages;
        stages.push_back(spec.stages[stage]);
        stages.back().after.clear();
    }
    for (const ChannelSpec& channel : spec.channels) {
        split[place[phases.of(numbers.at(channel.from))]].spec.channels.push_back(channel);
    }
    return split;
}

std::vector<std::string> earlier_phases(const Chain& chain, const Plan& plan) {
    std::vector<std::string> open = plan.phase->after;
    std::vector<std::string> names;
    for (auto at = chain.phases.rbegin(); at != chain.phases.rend();
         ++at) {  // what waits comes before what it waits for
        const PhaseInfo& phase = *at->phase;
        if (std::ranges::find(open, phase.name) == open.end()) continue;
        open.insert(open.end(), phase.after.begin(), phase.after.end());
        names.push_back(phase.name);
    }
    std::ranges::reverse(names);
    return names;
}

std::string run_name(const Plan& plan) {
    return plan.phase ? plan.pipeline + "-" + plan.phase->name : plan.pipeline;
}

std::string phase_words(const Plan& plan) {
    const PhaseInfo& phase = *plan.phase;
    return "phase " + phase.name + " (" + std::to_string(phase.number) + " of " + std::to_string(phase.of) + ")";
}

}  // namespace penstock
