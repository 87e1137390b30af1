#pragma once

#include <functional>

#include <penstock/plan.hpp>
#include <penstock/runtime.hpp>

namespace penstock {

/// The plan of the phase that is asked for, with the run directories of the earlier ones in the place of their stages.
/// @param is_leader  Also looks whether those runs are what they are said to be, which one process of a job does.
/// @throws Error{invalid_input} if there is no such stage, and for an earlier run that is missing, is another one, or
/// has not completed.
[[nodiscard]] Plan chosen_phase(const Chain& chain, const RunOptions& options, bool is_leader);

/// Runs all phases one after the other, until one does not succeed.
/// @param run  Runs a plan; what it throws is the end of the chain.
[[nodiscard]] RunResult run_phases(const Chain& chain, const RunOptions& options,
                                   const std::function<RunResult(const Plan&)>& run);

}  // namespace penstock
