#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/operator.hpp>
#include <penstock/spec.hpp>

namespace penstock {

enum class Launch : std::uint8_t {
    automatic,  ///< `mpi` inside an MPI job, `pmix` in one where this build has no MPI, else `local`.
    local,      ///< This process coordinates and starts one process per instance.
    mpi,        ///< The ranks of the MPI job this process belongs to.
    pmix,       ///< The same, found through PMIx; MPI is not initialised.
    tcp,        ///< Ranks that anything started: they meet over TCP (PENSTOCK_RANK, or a step of Slurm).
};

/// How an idle instance waits.
enum class Idle : std::uint8_t {
    adaptive,  ///< Spins for a bounded time while a core is free for every process, then blocks.
    spin,      ///< Never blocks. For latency measurements on cores of its own.
    block,     ///< Blocks at once.
};

/// Which processors an instance runs on, and with it which memory is near it.
enum class Bind : std::uint8_t {
    automatic,  ///< `numa` where there are several NUMA nodes and nobody else has placed the processes, else `none`.
    none,       ///< Wherever the system puts it.
    core,       ///< As many cores of its own as it has threads. Another run of the same machine may take the same ones.
    numa,       ///< The cores of one NUMA node, which it shares.
};

struct RunResult {
    int exit_code = 0;       ///< 0, or by kind of failure (`penstock run --help`).
    std::string error = {};  ///< Empty when all went well.
    std::string run_dir = {};
    std::string report = {};   ///< The final statistics as JSON (also `stats.json` in the run directory).
    std::string summary = {};  ///< The same as a table for people.
    bool coordinator = true;   ///< False in processes that only ran an instance under MPI.
};

struct RunOptions {
    Launch launch = Launch::automatic;
    TransportKind transport = TransportKind::automatic;  ///< Forces one transport for every pair.
    Idle idle = Idle::adaptive;
    Bind bind = Bind::automatic;
    std::string runs_dir = "runs";                    ///< The run directory is made inside.
    std::uint64_t arena_bytes = 256ULL << 20U;        ///< Upper bound of shared memory per instance.
    std::chrono::milliseconds stall_timeout{60'000};  ///< Nothing moved for that long: the run ends. 0 means never.
    std::chrono::milliseconds start_timeout{30'000};  ///< For all processes to be up and connected.
    /// A host of a job that is silent for that long is lost, and the run ends. At least 2 s; 0 means never. The hosts'
    /// kernels ask and answer: operators may compute for as long as they like, and stand still.
    std::chrono::milliseconds heartbeat_timeout{8'000};
    LogLevel log_level = LogLevel::info;
    bool progress = true;  ///< Progress lines on standard error.
    /// Of a pipeline with phases, only that of this stage. Empty: all, one after the other.
    std::string phase = {};
    /// With `phase`: the runs that earlier phases were, "stage=run" each. A run is its directory, its name in
    /// `runs_dir` or the id of its Slurm job.
    std::vector<std::string> earlier = {};
    /// Gets the text of status.json about twice a second and at every change of state; in the coordinator's process
    /// only, on the thread that runs the pipeline. What it throws fails the run.
    std::function<void(std::string_view status)> on_status = {};
    /// Under MPI: called in the coordinator's process when the job is about to be aborted, after which `run` does not
    /// return. A rank that is gone or stuck leaves no other way.
    std::function<void(const RunResult& result)> on_abort = {};
    /// Of a pipeline with phases: called when one has ended with success and another one follows.
    std::function<void(const RunResult& result)> on_phase_end = {};
};

/// A program that runs pipelines: owns the registry and knows how the process was started.
///
/// `run` starts processes by fork: call it before the program starts threads of its own.
class Runtime {
public:
    /// Reads `--launch`, `--transport`, `--idle`, `--bind`, `--runs-dir`, `--arena-mib`, `--stall-timeout`,
    /// `--heartbeat-timeout`, `--log-level`, `--phase` and `--earlier` from the command line and leaves everything else
    /// alone.
    /// @throws Error{invalid_input} for a bad value.
    Runtime(int argc, char** argv);
    explicit Runtime(RunOptions options);
    ~Runtime();
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;

    [[nodiscard]] Registry& registry() noexcept;
    [[nodiscard]] RunOptions& options() noexcept;

    /// Runs the pipeline to its end. SIGINT and SIGTERM stop the sources and drain; a second one aborts. Phases run one
    /// after the other, each in a run directory of its own, until one does not succeed; the result is that of the last
    /// one that ran, and its `report` has all of them.
    /// @throws Error when the pipeline cannot start or fails; the run directory keeps the report either way. A run
    /// stopped by a signal does not throw: its exit code is 128 + the signal.
    RunResult run(const PipelineSpec& spec);
    /// The same, with failures in the result instead of thrown.
    [[nodiscard]] RunResult try_run(const PipelineSpec& spec);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Exit code for a failure of that kind: 2 invalid input, 3 unsupported, 4 exhausted, 5 timed out, 6 disconnected,
/// 1 failed, 70 internal.
[[nodiscard]] int exit_code(Errc code) noexcept;

}  // namespace penstock
