#include "cli/job_parts.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <penstock/error.hpp>

#include "plan/node_kinds.hpp"
#include "plan/placement.hpp"

namespace penstock::cli {
namespace {

using SbatchOption = std::pair<std::string, std::string>;
using SbatchOptions = std::vector<SbatchOption>;

/// What is said once and meant for all nodes. Of the others, sbatch wants some at the first part only (output, signal),
/// and some are a number for it alone (nodes).
constexpr std::array<std::string_view, 13> of_each_part{
    "account", "A", "qos", "q", "time", "t", "mem", "mem-per-cpu", "tmp", "reservation", "exclusive", "partition", "p"};

void set_option(SbatchOptions& options, const char* name, std::string_view letter, const std::string& value) {
    if (value.empty()) return;
    std::erase_if(options, [&](const SbatchOption& option) { return option.first == name || option.first == letter; });
    options.emplace_back(name, value);
}

void ask_for(const NodeKind& kind, SbatchOptions& options) {
    set_option(options, "constraint", "C", kind.constraint);
    set_option(options, "partition", "p", kind.partition);
}

/// How many instances of its stage are on each node; 0 if Slurm decides.
[[nodiscard]] std::uint32_t per_node_of(const Plan& plan, const RanksOfKind& part, bool has_coordinator) {
    for (const std::uint16_t number : part.stages) {
        const PlannedStage& stage = plan.stages[number];
        if (stage.placement.rule == PlacementRule::by_rank) continue;
        const bool is_alone = part.stages.size() == 1 && !has_coordinator;
        if (stage.placement.rule == PlacementRule::per_node && is_alone)
            return static_cast<std::uint32_t>(stage.placement.per_node);
        throw Error{
            Errc::unsupported,
            fmt::format("stage '{}' is to be placed \"{}\"; in a job with several kinds of nodes only a stage that "
                        "has its kind of nodes to itself can say more than that kind, and that is \"per_node\"",
                        stage.name, placement_words(stage.placement))};
    }
    return 0;
}

[[nodiscard]] std::uint32_t gpus_of(const Plan& plan, const RanksOfKind& part) {
    int gpus = 0;
    for (const std::uint16_t number : part.stages) {
        if (plan.stages[number].device == Device::gpu) gpus += plan.stages[number].instances;
    }
    return static_cast<std::uint32_t>(gpus);
}

[[nodiscard]] SlurmPart part_of(const Plan& plan, const RanksOfKind& part, const SbatchOptions& common,
                                const SbatchOptions& for_gpus, bool has_coordinator, std::uint32_t least_cores) {
    SlurmPart made{.tasks = part.ranks, .cpus_per_task = least_cores};
    for (const std::uint16_t number : part.stages)
        made.cpus_per_task = std::max(made.cpus_per_task, static_cast<std::uint32_t>(plan.stages[number].threads));
    for (const SbatchOption& option : common) {
        if (has_coordinator || std::ranges::find(of_each_part, option.first) != of_each_part.end())
            made.options.push_back(option);
    }
    ask_for(part.kind, made.options);
    const std::uint32_t per_node = per_node_of(plan, part, has_coordinator);
    made.tasks_per_node = per_node;
    if (per_node > 0) {
        made.options.emplace_back("nodes", std::to_string((part.ranks + per_node - 1) / per_node));
        made.options.emplace_back("ntasks-per-node", std::to_string(per_node));
    }
    const std::uint32_t gpus = gpus_of(plan, part);
    if (gpus > 0 && for_gpus.empty())
        made.options.emplace_back("gpus-per-node", std::to_string(per_node > 0 ? std::min(per_node, gpus) : gpus));
    if (gpus > 0) made.options.insert(made.options.end(), for_gpus.begin(), for_gpus.end());
    return made;
}

}  // namespace

bool asks_for_gpus(const std::pair<std::string, std::string>& option) {
    constexpr std::array<std::string_view, 6> names{
        "gpus", "G", "gpus-per-node", "gpus-per-task", "gpus-per-socket", "tres-per-task"};
    return std::ranges::find(names, option.first) != names.end() ||
           (option.first == "gres" && option.second.find("gpu") != std::string::npos);
}

void ask_for_kinds(const Plan& plan, SlurmJob& job, std::uint32_t least_cores) {
    const auto kinds = parts_by_kind(plan);
    if (kinds.size() == 1) {
        ask_for(kinds.front().kind, job.options);
        return;
    }
    SbatchOptions for_gpus;
    for (const SbatchOption& option : job.options) {
        if (asks_for_gpus(option)) for_gpus.push_back(option);
    }
    std::erase_if(job.options, asks_for_gpus);
    for (const RanksOfKind& kind : kinds)
        job.parts.push_back(part_of(plan, kind, job.options, for_gpus, job.parts.empty(), least_cores));
    job.options.clear();
}

std::string parts_text(const Plan& plan, const SlurmJob& job) {
    const auto kinds = parts_by_kind(plan);
    std::string text = fmt::format("{} parts of a heterogeneous job:\n", kinds.size());
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        text += fmt::format("  {}: ranks {} to {} on nodes: {}", i, kinds[i].first_rank,
                            kinds[i].first_rank + kinds[i].ranks - 1, kind_words(kinds[i].kind));
        for (const SbatchOption& option : job.parts[i].options) {
            if (option.first == "nodes" || option.first == "ntasks-per-node" || asks_for_gpus(option))
                text += fmt::format(", --{}={}", option.first, option.second);
        }
        text += '\n';
    }
    return text;
}

}  // namespace penstock::cli
