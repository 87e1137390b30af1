#include <algorithm>

#include <fmt/format.h>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

/// "2(x3),1": the largest number of tasks of a node.
[[nodiscard]] std::uint64_t most_tasks(const std::string& text) {
    std::uint64_t most = 0;
    for (const std::string& part : parts_of(text, ',')) {
        most = std::max(most, number_of(part.substr(0, part.find('('))).value_or(0));
    }
    return most;
}

void check_size(const System& system, const Needs& needs, Findings& findings) {
    const auto tasks = system.count("SLURM_NTASKS");
    findings.add("allocation", fmt::format("job {} of Slurm: {} nodes, {} tasks", system.variable("SLURM_JOB_ID"),
                                           system.count("SLURM_JOB_NUM_NODES").value_or(1), tasks.value_or(1)));
    if (needs.ranks > 0 && tasks && *tasks < needs.ranks) {
        findings.add("allocation-too-small", fmt::format("{} tasks, {} processes", *tasks, needs.ranks),
                     {.severity = Severity::ok, .fix = fmt::format("sbatch --ntasks={}", needs.ranks)});
    }
    const std::uint64_t here = most_tasks(system.variable("SLURM_TASKS_PER_NODE"));
    const std::uint64_t wanted = here * system.count("SLURM_CPUS_PER_TASK").value_or(1);
    if (const auto there = system.count("SLURM_CPUS_ON_NODE"); there && wanted > *there) {
        findings.add("allocation-overcommitted",
                     fmt::format("{} tasks a node with {} processors, {} processors there", here,
                                 system.count("SLURM_CPUS_PER_TASK").value_or(1), *there));
    }
}

void check_step(const System& system, const Needs& needs, Findings& findings) {
    const auto tasks = system.count("SLURM_STEP_NUM_TASKS");
    // mpirun starts its daemons by a step, too, and its ranks bear the step's variables.
    if (!tasks || *tasks < 2 || system.has_variable("OMPI_COMM_WORLD_SIZE") || !needs.transports.contains("mpi"))
        return;
    const bool is_pmix = system.has_variable("PMIX_RANK");
    if (!is_pmix && !system.has_variable("PMI_RANK")) {
        findings.add("pmix-not-offered", fmt::format("a step of {} tasks without PMIx", *tasks));
    } else if (!is_pmix && system.text("/proc/self/maps").find("/libmpi.so") != std::string::npos) {
        findings.add("pmi2-instead-of-pmix", fmt::format("a step of {} tasks with PMI2, and Open MPI", *tasks));
    }
}

}  // namespace

void check_slurm(const System& system, const Needs& needs, Findings& findings) {
    if (system.has_variable("SLURM_JOB_ID")) {
        check_size(system, needs, findings);
        check_step(system, needs, findings);
    }
    if (system.programs("srun").empty() || !needs.transports.contains("mpi")) return;
    const auto types = system.probes().slurm_mpi_types();
    if (!types || types->find("none") == std::string::npos) return;  // it has not answered with a list
    if (types->find("pmix") == std::string::npos) {
        findings.add("slurm-without-pmix", "srun --mpi=list: " + joined(words_of(*types), 12));
    }
}

}  // namespace penstock::doctor
