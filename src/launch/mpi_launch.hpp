#pragma once

#include <cstdint>

#include <penstock/plan.hpp>
#include <penstock/runtime.hpp>

namespace penstock {

/// True inside a job that mpirun or srun started with an MPI plug-in, in a build that has MPI.
[[nodiscard]] bool inside_mpi_job() noexcept;

/// How many processes that job has, as its starter says. Needs no MPI. @throws Error{unsupported} if it does not say.
[[nodiscard]] std::uint32_t mpi_job_size();

/// False in the ranks of an MPI job that leave the talking to rank 0. Needs no MPI.
[[nodiscard]] bool speaks_for_job() noexcept;

/// Runs the pipeline on the ranks of the MPI job: rank 0 coordinates, the others are the instances. Collective.
/// @throws Error{invalid_input} in every rank if there are too many or too few ranks.
[[nodiscard]] RunResult run_mpi(const Plan& plan, const Registry& registry, const RunOptions& options);

}  // namespace penstock
