#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "doctor/finding.hpp"
#include "doctor/system.hpp"

namespace penstock::doctor {

/// What a run would need. Zero and empty: not known.
struct Needs {
    std::uint32_t ranks = 0;        ///< Processes of the whole run.
    std::uint32_t ranks_here = 0;   ///< Those of them on this node.
    std::uint64_t arena_bytes = 0;  ///< Shared memory of each at most.
    std::string runs_dir = {};
    std::set<std::string, std::less<>> transports = {};  ///< In this build.
    /// Of those, the ones that say that they move memory of the host only.
    std::set<std::string, std::less<>> without_device_memory = {};
};

// A subject each.
void check_cores(const System& system, const Needs& needs, Findings& findings);
void check_processes(const System& system, const Needs& needs, Findings& findings);
void check_memory(const System& system, const Needs& needs, Findings& findings);
void check_shared_memory(const System& system, const Needs& needs, Findings& findings);
void check_clock(const System& system, const Needs& needs, Findings& findings);
void check_storage(const System& system, const Needs& needs, Findings& findings);
void check_network(const System& system, const Needs& needs, Findings& findings);
void check_rdma(const System& system, const Needs& needs, Findings& findings);
void check_efa(const System& system, const Needs& needs, Findings& findings);
void check_ucx(const System& system, const Needs& needs, Findings& findings);
void check_mpi(const System& system, const Needs& needs, Findings& findings);
void check_slurm(const System& system, const Needs& needs, Findings& findings);
void check_gpu(const System& system, const Needs& needs, Findings& findings);

}  // namespace penstock::doctor
