#pragma once

#include <cstdint>

#include <penstock/error.hpp>
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

/// For a rank that fails before it gets to `run_job`, or whose pipeline is none: tells the others, which would wait for
/// it for ever. Collective with their `run_job`, and with this call of others that fail.
/// @param launch  Not `local`.
void tell_cannot_start(Launch launch, const Error& error, const RunOptions& options) noexcept;

/// Runs the pipeline on the ranks of the job: rank 0 coordinates, the others are the instances. Collective.
/// @param launch  Not `local`.
/// @throws Error{invalid_input} in every rank if there are too many or too few ranks.
[[nodiscard]] RunResult run_job(Launch launch, const Plan& plan, const Registry& registry, const RunOptions& options);

}  // namespace penstock
