#pragma once

#include <cstdint>

#include <penstock/plan.hpp>
#include <penstock/runtime.hpp>

namespace penstock {

/// What `automatic` comes to: `mpi` inside a job that mpirun or srun started with an MPI plug-in, in a build that has
/// MPI; `pmix` inside one that offers that alone to this build; else `local`.
[[nodiscard]] Launch resolved(Launch asked) noexcept;

/// How many processes that job has, as its starter says. Joins nothing. @throws Error{unsupported} if it does not say.
[[nodiscard]] std::uint32_t job_size();

/// False in the ranks of a job that leave the talking to rank 0. Joins nothing.
[[nodiscard]] bool speaks_for_job(Launch launch) noexcept;

/// Runs the pipeline on the ranks of the job: rank 0 coordinates, the others are the instances. Collective.
/// @param launch  Not `local`.
/// @throws Error{invalid_input} in every rank if there are too many or too few ranks.
[[nodiscard]] RunResult run_job(Launch launch, const Plan& plan, const Registry& registry, const RunOptions& options);

}  // namespace penstock
