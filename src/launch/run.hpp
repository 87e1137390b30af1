#pragma once

#include <atomic>
#include <functional>
#include <memory>
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
    std::string unwatched = {};                  ///< For the log, a warning; empty for none.
    // Of a run that is a part of the coordinator's process:
    RunControl* control = nullptr;
    bool takes_signals = true;
    std::function<void(const RunSnapshot&)> on_snapshot = {};
};

/// For an instance that is a thread of the coordinator's process.
struct Hosting {
    /// Gets the instance's arena before its operator is created. Who keeps it keeps the memory of all peers mapped.
    std::function<void(std::shared_ptr<Arena> arena)> on_arena;
    std::function<void()> on_end;        ///< It has ended; what it has not settled is dropped next.
    const std::atomic<bool>& abandoned;  ///< Ends it when nobody coordinates any more.
};

/// Runs rank 0 on the calling thread. Collective with `run_instance` of all other ranks.
[[nodiscard]] RunSnapshot run_coordinator(const RunContext& run, Bootstrap& bootstrap, Supervisor& supervisor);

[[nodiscard]] RunResult result_of(const RunContext& run, const RunSnapshot& snapshot);

/// Runs one instance on the calling thread. @return its exit code.
/// @param hosting  Null where it has its process to itself.
[[nodiscard]] int run_instance(const RunContext& run, Bootstrap& bootstrap, const Hosting* hosting = nullptr);

/// The failure behind an exit code; nothing for success and for a stop by signal.
[[nodiscard]] std::optional<Errc> errc_of_exit(int code) noexcept;
/// The exception that says what a run failed of; nothing if it did not, or was stopped by a signal.
[[nodiscard]] std::optional<Error> failure_of(const RunResult& result);

}  // namespace penstock
