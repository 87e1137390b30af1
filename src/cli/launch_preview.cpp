#include "cli/launch_preview.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/table.hpp"
#include "cli/job_parts.hpp"
#include "plan/describe.hpp"
#include "plan/placement.hpp"

namespace penstock::cli {
namespace {

/// The number of the node that a rank will be on, counted from 1 in the order of their names; nothing if Slurm decides.
[[nodiscard]] std::string node_of(const SlurmJob& job, std::uint32_t rank) {
    if (!job.nodes.empty()) return std::to_string(job.nodes[rank] + 1);
    if (number_option(job, "nodes") == 1 || job.tasks == 1) return "1";
    const std::uint32_t per_node = number_option(job, "ntasks-per-node");
    return per_node == 0 ? "" : std::to_string(rank / per_node + 1);
}

/// Why a rank is on its node, where stages say where they are to be.
[[nodiscard]] std::string reason_for(const Plan& plan, std::uint32_t rank) {
    if (rank == 0) return "the coordinator, on the first node";
    const auto [stage, instance] = plan.place(rank);
    const StagePlacement& placement = plan.stages[stage].placement;
    if (placement.rule == PlacementRule::by_rank) return "does not say; fills the nodes in order";
    if (placement.rule != PlacementRule::with) return placement_words(placement);
    const auto leader = std::ranges::find(plan.stages, placement.stage, &PlannedStage::name);
    return fmt::format("with {}.{}", leader->name, instance % leader->instances);
}

}  // namespace

std::string placement_text(const Launching& launching) {
    const SlurmJob& job = launching.job;
    const bool is_placed = !job.nodes.empty();
    std::vector<std::string> headers{"RANK", "RUNS", "OPERATOR", "NODE"};
    if (is_placed) headers.emplace_back("PLACEMENT");
    Table table{std::move(headers)};
    bool is_known = true;
    for (std::uint32_t rank = 0; rank < launching.plan.ranks(); ++rank) {
        const std::string node = node_of(job, rank);
        is_known = is_known && !node.empty();
        const std::string what = rank == 0 ? "" : launching.plan.stages[launching.plan.place(rank).stage].operator_name;
        std::vector<std::string> row{std::to_string(rank), launching.plan.label(rank), what, node.empty() ? "?" : node};
        if (is_placed) row.push_back(reason_for(launching.plan, rank));
        table.add(std::move(row));
    }
    std::string text = fmt::format("{} tasks with {} {} each; run directories in {}\n\n", job.tasks, job.cpus_per_task,
                                   job.cpus_per_task == 1 ? "core" : "cores", job.runs_dir) +
                       table.text();
    if (!job.parts.empty()) return text + '\n' + parts_text(launching.plan, job);
    if (launching.gpus_per_node > 0) {
        text += fmt::format("\n{} {} on each node, one for each instance for GPUs that may be there\n",
                            launching.gpus_per_node, launching.gpus_per_node == 1 ? "GPU" : "GPUs");
    }
    if (!is_known) {
        text +=
            "\nSlurm gives the ranks to the nodes in order, as many to each as it has cores free; --nodes 1 or "
            "--ntasks-per-node decide it\n";
    }
    if (is_placed) {
        text += fmt::format("\nNodes count from 1 in the order of their names; each of the {} has room for {} ranks\n",
                            job.node_count, number_option(job, "ntasks-per-node"));
        if (const auto last = std::ranges::max(job.nodes) + 1; last < job.node_count) {
            text += fmt::format("Nothing runs on {}\n", job.node_count - last == 1
                                                            ? fmt::format("node {}", last + 1)
                                                            : fmt::format("nodes {} to {}", last + 1, job.node_count));
        }
    }
    return text;
}

}  // namespace penstock::cli
