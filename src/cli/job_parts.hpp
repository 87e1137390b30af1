#pragma once

#include <string>

#include <penstock/plan.hpp>

#include "launch/slurm_script.hpp"

namespace penstock::cli {

/// Whether that option of sbatch asks for GPUs.
[[nodiscard]] bool asks_for_gpus(const std::pair<std::string, std::string>& option);

/// Of a job whose stages are all for one kind of nodes: asks for those.
/// Of any other it makes a heterogeneous job with a part for each kind, with the nodes and the GPUs that its stages
/// need.
/// @throws Error{unsupported} if stages there say more of their place than "per_node", or say that of nodes which they
/// share with others.
void ask_for_kinds(const Plan& plan, SlurmJob& job, std::uint32_t least_cores);

/// "2 parts: 3 tasks on any nodes; ...", and which ranks those are. REQUIRES: it has parts.
[[nodiscard]] std::string parts_text(const Plan& plan, const SlurmJob& job);

}  // namespace penstock::cli
