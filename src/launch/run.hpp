#pragma once

#include <optional>
#include <string>
#include <vector>

#include <penstock/plan.hpp>
#include <penstock/runtime.hpp>

#include "launch/run_directory.hpp"
#include "runtime/coordinator.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// What every process of a run agrees on before it starts.
struct RunContext {
    const Plan& plan;
    const Registry& registry;
    const RunOptions& options;
    const RunDirectory& directory;
    std::string launched_by;  ///< For the log: "local processes", or which MPI on which of its message layers.
    std::optional<int> stage_communicator = {};  ///< `StageContext::communicator`.
};

/// Runs rank 0 on the calling thread. Collective with `run_instance` of all other ranks.
[[nodiscard]] RunSnapshot run_coordinator(const RunContext& run, Bootstrap& bootstrap, Supervisor& supervisor);

[[nodiscard]] RunResult result_of(const RunContext& run, const RunSnapshot& snapshot);

/// Runs one instance on the calling thread. @return its exit code.
[[nodiscard]] int run_instance(const RunContext& run, Bootstrap& bootstrap);

}  // namespace penstock
