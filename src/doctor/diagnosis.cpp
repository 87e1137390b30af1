#include "doctor/diagnosis.hpp"

#include <algorithm>
#include <filesystem>

#include <penstock/runtime.hpp>

#include "transports/make.hpp"

namespace penstock::doctor {
namespace {

[[nodiscard]] std::uint32_t count_of(const System& system, std::string_view variable) {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(system.count(variable).value_or(0), UINT32_MAX));
}

}  // namespace

Needs needs_of(const System& system, std::uint32_t ranks, const std::string& runs_dir) {
    Needs needs{.ranks = ranks, .arena_bytes = RunOptions{}.arena_bytes};
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"}) {
        if (needs.ranks == 0) needs.ranks = count_of(system, name);
    }
    const std::uint32_t nodes = std::max(count_of(system, "SLURM_JOB_NUM_NODES"), 1U);
    needs.ranks_here = needs.ranks / nodes + (needs.ranks % nodes != 0 ? 1 : 0);
    if (ranks == 0 && system.has_variable("OMPI_COMM_WORLD_LOCAL_SIZE")) {
        needs.ranks_here = count_of(system, "OMPI_COMM_WORLD_LOCAL_SIZE");
    }
    needs.runs_dir = std::filesystem::absolute(runs_dir).lexically_normal().string();
    for (const TransportInfo& transport : known_transports()) {
        if (transport.built) needs.transports.emplace(transport.name);
        if (transport.device_memory == false) needs.without_device_memory.emplace(transport.name);
    }
    return needs;
}

Findings examine(const System& system, const Needs& needs) {
    Findings findings;
    for (const auto check :
         {check_clock, check_cores, check_processes, check_memory, check_shared_memory, check_storage, check_network,
          check_rdma, check_efa, check_ucx, check_mpi, check_slurm, check_gpu}) {
        check(system, needs, findings);
    }
    return findings;
}

}  // namespace penstock::doctor
