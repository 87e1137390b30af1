#pragma once

#include <vector>

#include <penstock/plan.hpp>

#include "plan/check_graph.hpp"

namespace penstock {

/// Whether any stage says what it runs after: without that, all stages run together.
[[nodiscard]] bool has_phases(const PipelineSpec& spec) noexcept;

/// Adds what is wrong with the order of the phases, and with what one wants of another: unknown stages, stages after
/// their own phase, phases that wait for each other, results of a phase that is not before, and placement beside stages
/// of another phase.
/// @param parts  As for `check_graph`; a stage for each one of `spec` and of `plan`.
/// @param plan   For the parameters of its stages, which are complete.
void check_phases(const PipelineSpec& spec, const GraphParts& parts, const Plan& plan, Problems& problems);

/// A phase as a pipeline of its own.
struct PhaseSpec {
    PipelineSpec spec;  ///< Nothing in it has an `after`.
    PhaseInfo info;
};
/// The phases, each after all that it waits for, else in the order of their first stages.
/// REQUIRES: `check_phases` and `check_graph` have found nothing.
[[nodiscard]] std::vector<PhaseSpec> split_phases(const PipelineSpec& spec);

/// The names of the phases that have ended before this one starts, also those that others before it wait for.
/// REQUIRES: the plan has a `phase`, which is of the chain.
[[nodiscard]] std::vector<std::string> earlier_phases(const Chain& chain, const Plan& plan);

/// What the runs of a plan are called: as the pipeline, and "demo-make" for a phase of it.
[[nodiscard]] std::string run_name(const Plan& plan);
/// "phase make (1 of 2)". REQUIRES: the plan has a `phase`.
[[nodiscard]] std::string phase_words(const Plan& plan);

}  // namespace penstock
