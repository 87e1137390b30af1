#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <penstock/error.hpp>
#include <penstock/plan.hpp>

#include "base/cores.hpp"
#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "codec/codec.hpp"
#include "plan/check_graph.hpp"
#include "plan/graph.hpp"
#include "plan/node_kinds.hpp"
#include "plan/phases.hpp"
#include "spec/names.hpp"
#include "spec/problems.hpp"

namespace penstock {
namespace {

constexpr std::uint64_t max_ranks = 1'000'000;

/// The message without the kind in front, which the collected error says once.
std::string message_of(const Error& error) {
    std::string_view text = error.what();
    text.remove_prefix(text.find(": ") + 2);
    return std::string{text};
}

std::string subject_of(const PipelineSpec& spec) {
    return spec.file.empty() ? "pipeline " + in_quotes(spec.name) : spec.file;
}

std::string name_problem(std::string_view what, std::string_view name) {
    return std::string{what}.append(" ").append(in_quotes(name)).append(" must be ").append(name_rule);
}

class Planner {
public:
    /// @param is_phase  The specification is a part of one that has been checked.
    Planner(const PipelineSpec& spec, const Registry& registry, std::uint32_t processes, bool is_phase = false)
        : spec_{spec}, registry_{registry}, processes_{processes}, is_phase_{is_phase}, problems_{subject_of(spec)} {}

    Plan run() {
        check_size();
        problems_.throw_if_any();  // nothing below is meant for that much
        for (const auto& stage : spec_.stages) add_stage(stage);
        for (const auto& channel : spec_.channels) add_channel(channel);
        fill();
        for (PlannedChannel& channel : plan_.channels) choose_dispatch(channel);
        for (std::size_t i = 0; i < spec_.stages.size(); ++i) check_parking(plan_.stages[i], spec_.stages[i]);
        check_placements();
        if (!has_phases(spec_)) check_ranks();
        check_graph(parts_, problems_);
        if (!is_phase_) check_phases(spec_, parts_, plan_, problems_);
        problems_.throw_if_any();
        place_instances();
        return std::move(plan_);
    }

private:
    void check_size() {
        const auto subject = subject_of(spec_);
        if (!is_name(spec_.name)) problems_.add(subject + ": " + name_problem("the name of the pipeline", spec_.name));
        if (spec_.stages.empty()) problems_.add(subject + ": has no stages; add at least a source and a sink");
        if (spec_.stages.size() > max_stages) {
            problems_.add(subject + ": has more than " + std::to_string(max_stages) + " stages; use instances");
        }
        if (spec_.channels.size() > max_channels) {
            problems_.add(subject + ": has more than " + std::to_string(max_channels) + " channels; use instances");
        }
    }

    void add_stage(const StageSpec& stage) {
        if (!is_name(stage.name)) problems_.add(place_of(stage, "name") + ": " + name_problem("the name", stage.name));
        const auto number = static_cast<std::uint16_t>(parts_.stages.size());
        if (!stage_numbers_.emplace(stage.name, number).second) {
            parts_.complete = false;
            problems_.add(place_of(stage, "name") + ": there is already a stage " + in_quotes(stage.name) +
                          "; give each stage a name of its own");
        }
        check_counts(stage);
        const OperatorInfo* info = find_operator(stage);
        if (info != nullptr) check_device(stage, *info);
        parts_.stages.push_back({.spec = &stage, .info = info});
        plan_.stages.push_back({.name = stage.name,
                                .operator_name = stage.operator_name,
                                .kind = info != nullptr ? info->kind : OperatorKind::processor,
                                .params = info != nullptr ? complete_params(stage, *info) : Params{},
                                .env = stage.env,
                                .instances = stage.instances,
                                .threads = stage.threads,
                                .first_rank = 0,
                                .inputs = {},
                                .outputs = {},
                                .device = stage.device,
                                .morsel_kib = stage.morsel_kib,
                                .target_utilization = stage.target_utilization,
                                .park_idle = stage.park_idle,
                                .placement = stage.placement,
                                .timeout = stage.timeout});
    }

    void check_counts(const StageSpec& stage) {
        if (stage.instances != StageSpec::fill && (stage.instances < 1 || stage.instances > max_instances)) {
            problems_.add(place_of(stage, "instances") + ": must be a number from 1 to " +
                          std::to_string(max_instances) + ", not " + std::to_string(stage.instances));
        }
        if (stage.threads < 1 || stage.threads > max_threads) {
            problems_.add(place_of(stage, "threads") + ": \"threads\" must be a number from 1 to " +
                          std::to_string(max_threads) + ", not " + std::to_string(stage.threads));
        }
        if (stage.morsel_kib != 0 && (stage.morsel_kib < least_morsel_kib || stage.morsel_kib > most_morsel_kib)) {
            problems_.add(place_of(stage, "morsel_kib") + ": \"morsel_kib\" must be a number from " +
                          std::to_string(least_morsel_kib) + " to " + std::to_string(most_morsel_kib) +
                          ", or 0 for a share of the cache, not " + std::to_string(stage.morsel_kib));
        }
        if (!(stage.target_utilization >= 0 && stage.target_utilization <= 1)) {
            problems_.add(place_of(stage, "target_utilization") +
                          ": \"target_utilization\" must be a number from 0 to 1");
        }
        if (stage.placement.rule == PlacementRule::per_node &&
            (stage.placement.per_node < 1 || stage.placement.per_node > max_per_node)) {
            problems_.add(place_of(stage, "placement") + ": \"per_node\" must be a number from 1 to " +
                          std::to_string(max_per_node) + ", not " + std::to_string(stage.placement.per_node));
        }
        if (stage.placement.rule == PlacementRule::with &&
            !(stage.placement.constraint.empty() && stage.placement.partition.empty())) {
            problems_.add(place_of(stage, "placement") +
                          ": a stage \"with\" another is on the nodes of that one; say there which \"constraint\" and "
                          "\"partition\" those have");
        }
        if (stage.timeout.count() < 0) problems_.add(place_of(stage, "timeout") + ": must not be negative");
    }

    void check_device(const StageSpec& stage, const OperatorInfo& info) {
        if (stage.device != Device::gpu || info.gpu) return;
        problems_.add(
            place_of(stage, "device") + ": operator " + in_quotes(info.name) +
                " does not run on a GPU; write \"device\": \"cpu\", or register an operator of your own whose "
                "OperatorInfo has gpu = true",
            Errc::unsupported);
    }

    const OperatorInfo* find_operator(const StageSpec& stage) {
        const OperatorInfo* info = registry_.find(stage.operator_name);
        if (info != nullptr || problems_.full()) return info;
        std::vector<std::string_view> names;
        for (const auto* known : registry_.list()) names.push_back(known->name);
        problems_.add(place_of(stage, "operator") + ": unknown operator " + in_quotes(stage.operator_name) +
                      suggestion(stage.operator_name, names, "known are"));
        return nullptr;
    }

    Params complete_params(const StageSpec& stage, const OperatorInfo& info) {
        try {
            return registry_.complete(info, stage.params, stage.env);
        } catch (const Error& error) {
            problems_.add(place_of(stage, "params") + ": " + message_of(error), error.code());
            return {};
        }
    }

    void add_channel(const ChannelSpec& channel) {
        check_channel(channel);
        const auto from = find_stage(channel, "from", channel.from);
        const auto to = find_stage(channel, "to", channel.to);
        if (!from || !to) return;
        const auto number = static_cast<std::uint16_t>(plan_.channels.size());
        plan_.stages[*from].outputs.push_back(number);
        plan_.stages[*to].inputs.push_back(number);
        parts_.channels.push_back({.spec = &channel, .edge = {.from = *from, .to = *to}});
        plan_.channels.push_back({.name = channel_name(channel),
                                  .from = *from,
                                  .to = *to,
                                  .route = channel.route,
                                  .key = channel.key,
                                  .capacity = channel.capacity,
                                  .capacity_bytes = channel.capacity_bytes,
                                  .overflow = channel.overflow,
                                  .dispatch = channel.dispatch,
                                  .by = channel.by,
                                  .transport = channel.transport,
                                  .filter = channel.filter,
                                  .sample = channel.sample,
                                  .compression = with_level(channel.compression),
                                  .checksum = channel.checksum});
    }

    void check_channel(const ChannelSpec& channel) {
        const auto add = [&](std::string_view key, const std::string& text) {
            problems_.add(place_of(channel, key) + ": " + text);
        };
        if (!channel.name.empty() && !is_name(channel.name)) add("name", name_problem("the name", channel.name));
        if (!channel_names_.insert(channel_name(channel)).second) {
            add("name", "there is already a channel " + in_quotes(channel_name(channel)) +
                            "; give each channel a name of its own");
        }
        if (channel.route == Route::hash && channel.key.empty()) {
            add("route", "\"hash\" needs a key; add \"key\" with the name of the metadata that decides");
        }
        if (channel.route != Route::hash && !channel.key.empty()) {
            add("key", "is used by the route \"hash\" only; write \"route\": \"hash\" or remove the key");
        }
        if (channel.dispatch == Dispatch::leased && channel.route != Route::balance) {
            add("dispatch", "\"leased\" lets payloads go to the instance that is free, and route " +
                                in_quotes(name_of(channel.route)) +
                                " names one; write \"dispatch\": \"direct\" or \"route\": \"balance\"");
        }
        if (channel.dispatch == Dispatch::leased && needs_own_credits(channel.overflow)) {
            add("dispatch",
                "\"leased\" cannot tell a full channel from a lease that is still to come, which overflow " +
                    in_quotes(name_of(channel.overflow)) +
                    " needs; write \"dispatch\": \"direct\" or another overflow");
        }
        if (const auto problem = channel.filter.empty() ? std::nullopt : filter_problem(channel.filter)) {
            add("filter", *problem);
        }
        if (channel.sample < 1 || channel.sample > max_sample) {
            add("sample",
                "must be a number from 1 to " + std::to_string(max_sample) + ", not " + std::to_string(channel.sample));
        }
        check_compression(channel);
        if (channel.key.size() > max_key_bytes) add("key", "must have at most 255 bytes");
        if (channel.capacity < 1 || channel.capacity > max_capacity) {
            add("capacity", "must be a number from 1 to " + std::to_string(max_capacity) + ", not " +
                                std::to_string(channel.capacity));
        }
        if (channel.capacity_bytes == 0) add("capacity", "must have room for at least 1 byte");
    }

    void check_compression(const ChannelSpec& channel) {
        const auto [codec, level] = channel.compression;
        const CodecLevels levels = levels_of(codec);
        if (level != 0 && (level < levels.lowest || level > levels.highest)) {
            problems_.add(place_of(channel, "compression") + ": " + in_quotes(name_of(codec)) + " has " +
                          (codec == Codec::none
                               ? "no levels"
                               : "the levels " + std::to_string(levels.lowest) + " to " +
                                     std::to_string(levels.highest) + ", not " + std::to_string(level)));
        }
        if (const auto remedy = remedy_for(codec); !remedy.empty()) {
            problems_.add(place_of(channel, "compression") + ": this build has no " + std::string{name_of(codec)} +
                              "; " + std::string{remedy},
                          Errc::unsupported);
        }
    }

    [[nodiscard]] static Compression with_level(Compression how) noexcept {
        if (how.level == 0) how.level = levels_of(how.codec).usual;
        return how;
    }

    static bool needs_own_credits(Overflow overflow) {
        return overflow == Overflow::drop_newest || overflow == Overflow::error;
    }

    /// Late binding where it makes a difference.
    void choose_dispatch(PlannedChannel& channel) {
        if (channel.dispatch != Dispatch::automatic) return;
        const PlannedStage& to = plan_.stages[channel.to];
        const bool can_be_leased = channel.route == Route::balance && !needs_own_credits(channel.overflow);
        channel.dispatch = can_be_leased && (to.instances > 1 || to.park_idle) ? Dispatch::leased : Dispatch::direct;
    }

    /// Only where the coordinator decides which instance gets a payload can it leave some out.
    void check_parking(const PlannedStage& planned, const StageSpec& stage) {
        if (!stage.park_idle) return;
        const auto add = [&](const std::string& text) { problems_.add(place_of(stage, "park_idle") + ": " + text); };
        if (planned.inputs.empty()) add("a source has no payloads to wait for; remove \"park_idle\"");
        for (const std::uint16_t input : planned.inputs) {
            const PlannedChannel& channel = plan_.channels[input];
            if (channel.dispatch == Dispatch::leased) continue;
            add("channel " + in_quotes(channel.name) + " has the dispatch " + in_quotes(name_of(channel.dispatch)) +
                "; let it be \"leased\" (route \"balance\", overflow \"block\"), or remove \"park_idle\"");
        }
    }

    std::optional<std::uint16_t> find_stage(const ChannelSpec& channel, std::string_view end, const std::string& name) {
        const auto found = find_stage(name, [&] { return place_of(channel, end); });
        if (!found) parts_.complete = false;
        return found;
    }

    /// @param where  Makes the place of the name in the file, for the problem that there is no such stage.
    template <class Where>
    std::optional<std::uint16_t> find_stage(const std::string& name, const Where& where) {
        if (const auto found = stage_numbers_.find(name); found != stage_numbers_.end()) return found->second;
        if (problems_.full()) return std::nullopt;
        std::vector<std::string_view> names;
        for (const auto& stage : spec_.stages) names.push_back(stage.name);
        problems_.add(where() + ": unknown stage " + in_quotes(name) + suggestion(name, names, "the stages are"));
        return std::nullopt;
    }

    /// Stages that are to be with others exist and do not go round in a circle.
    void check_placements() {
        std::vector<Edge> edges;
        for (std::uint16_t number = 0; number < spec_.stages.size(); ++number) {
            const StageSpec& stage = spec_.stages[number];
            if (stage.placement.rule != PlacementRule::with) continue;
            const auto other = find_stage(stage.placement.stage, [&] { return place_of(stage, "placement/with"); });
            if (other) edges.push_back({.from = number, .to = *other});
        }
        for (const auto& cycle : Graph{spec_.stages.size(), edges}.cycles()) {
            std::string path;
            for (const auto stage : cycle) path += spec_.stages[stage].name + " -> ";
            const StageSpec& first = spec_.stages[cycle.front()];
            problems_.add(place_of(first, "placement/with") + ": stages are to be with each other: " + path +
                          first.name + "; let one of them be placed in another way");
        }
    }

    /// Gives stages without a number what the others leave, the first ones one more where it does not come out even.
    void fill() {
        std::vector<PlannedStage*> open;
        std::uint64_t taken = 1;
        for (auto& stage : plan_.stages) {
            if (stage.instances == StageSpec::fill) {
                open.push_back(&stage);
            } else {
                taken += static_cast<std::uint64_t>(std::max(stage.instances, 0));
            }
        }
        const std::uint64_t processes = processes_ != 0 ? processes_ : usable_cores() + std::uint64_t{1};
        std::uint64_t left = processes - std::min(processes, taken);
        for (std::size_t i = 0; i < open.size(); ++i) {
            const std::uint64_t share = (left + open.size() - i - 1) / (open.size() - i);
            open[i]->instances = static_cast<int>(std::clamp<std::uint64_t>(share, 1, max_instances));
            left -= std::min(left, share);
        }
    }

    void check_ranks() {
        std::uint64_t ranks = 1;
        for (const auto& stage : plan_.stages) ranks += static_cast<std::uint64_t>(std::max(stage.instances, 0));
        if (ranks <= max_ranks) return;
        problems_.add(subject_of(spec_) + ": has " + std::to_string(ranks - 1) + " instances, the limit is " +
                      std::to_string(max_ranks - 1) + "; lower the number of instances");
    }

    void place_instances() {
        plan_.pipeline = spec_.name;
        group_by_kind(plan_);
        std::uint32_t rank = 1;
        for (auto& stage : plan_.stages) {
            stage.first_rank = rank;
            rank += static_cast<std::uint32_t>(stage.instances);
        }
    }

    const PipelineSpec& spec_;
    const Registry& registry_;
    std::uint32_t processes_;
    bool is_phase_;
    Problems problems_;
    std::unordered_map<std::string_view, std::uint16_t> stage_numbers_;
    std::unordered_set<std::string> channel_names_;
    GraphParts parts_;
    Plan plan_;
};

}  // namespace

Plan make_plan(const PipelineSpec& spec, const Registry& registry, std::uint32_t processes) {
    Plan plan = Planner{spec, registry, processes}.run();
    if (!has_phases(spec)) return plan;
    throw Error{Errc::unsupported, subject_of(spec) +
                                       " has phases (\"after\"), which run one after the other, where "
                                       "one run is asked for; give it the stages of one phase"};
}

Chain make_chain(const PipelineSpec& spec, const Registry& registry, std::uint32_t processes) {
    Chain chain{.pipeline = spec.name, .phases = {}};
    chain.phases.push_back(Planner{spec, registry, processes}.run());
    if (!has_phases(spec)) return chain;
    chain.phases.clear();
    for (const PhaseSpec& phase : split_phases(spec)) {
        chain.phases.push_back(Planner{phase.spec, registry, processes, true}.run());
        chain.phases.back().phase = phase.info;
    }
    return chain;
}

}  // namespace penstock
