#pragma once

#include <map>
#include <string>

#include <penstock/plan.hpp>

#include "launch/slurm_script.hpp"

namespace penstock {

/// The id of the job that each phase is, by its name.
using JobsOfPhases = std::map<std::string, std::string>;

/// "JOB1", "JOB2", ...: what stands for the ids before there are any.
[[nodiscard]] JobsOfPhases stand_ins(const Chain& chain);

/// The script of a phase: `sbatch_script` of a job that waits for those of the phases before it, and finds their runs.
/// @param job   What the job is without the others. A dependency of it is kept where the phase waits for no other one:
/// the others come after those.
/// @param jobs  Has all phases before it.
[[nodiscard]] std::string chained_script(const Chain& chain, const Plan& plan, SlurmJob job, const JobsOfPhases& jobs);

}  // namespace penstock
