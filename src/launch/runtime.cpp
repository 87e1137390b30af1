#include <algorithm>
#include <array>

#include <penstock/plan.hpp>
#include <penstock/runtime.hpp>

#include "base/quantity.hpp"
#include "launch/job_launch.hpp"
#include "launch/local_processes.hpp"
#include "launch/phases.hpp"
#include "launch/run.hpp"
#include "launch/run_directory.hpp"
#include "plan/phases.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {
namespace {

[[nodiscard]] RunResult run_local(const Plan& plan, const Registry& registry, const RunOptions& options) {
    if (options.transport == TransportKind::mpi) {
        throw Error{Errc::unsupported, "transport 'mpi' needs an MPI job; start the run with mpirun or srun"};
    }
    const RunDirectory directory = RunDirectory::create(options.runs_dir, run_name(plan));
    const RunContext run{plan, registry, options, directory, "local processes"};
    LocalProcesses processes{plan.ranks(), options.start_timeout, [&](Rank rank) { return plan.label(rank); },
                             [&](Rank, Bootstrap& bootstrap) { return run_instance(run, bootstrap); }};
    const RunSnapshot snapshot = run_coordinator(run, processes, processes);
    // After a failure an instance may sit in its operator for ever.
    processes.reap(snapshot.exit_code == 0 ? std::chrono::milliseconds{10'000} : std::chrono::milliseconds{1'000});
    return result_of(run, snapshot);
}

/// A forced transport is a property of every channel.
void force_transport(Plan& plan, TransportKind forced) {
    if (forced == TransportKind::automatic) return;
    for (PlannedChannel& channel : plan.channels) channel.transport = forced;
}

[[noreturn]] void refuse_phases(const Chain& chain) {
    throw Error{Errc::unsupported,
                "pipeline '" + chain.pipeline + "' has " + std::to_string(chain.phases.size()) +
                    " phases, and the ranks of a job can be those of one; `penstock launch` makes a job of each, "
                    "--phase STAGE runs one of them, and `penstock run` without mpirun and srun all of them"};
}

/// "--name value" or "--name=value" at argv[i]; moves i on past the value.
[[nodiscard]] const char* option_value(int argc, char** argv, int& i, std::string_view name) {
    const std::string_view argument{argv[i]};
    if (!argument.starts_with(name)) return nullptr;
    if (argument.size() > name.size()) return argument[name.size()] == '=' ? argv[i] + name.size() + 1 : nullptr;
    if (i + 1 >= argc) throw Error{Errc::invalid_input, "'" + std::string{name} + "' needs a value"};
    return argv[++i];
}

template <class T, std::size_t N>
[[nodiscard]] T one_of(std::string_view option, std::string_view text,
                       const std::array<std::pair<std::string_view, T>, N>& choices) {
    std::string names;
    for (const auto& choice : choices) {
        if (choice.first == text) return choice.second;
        names += (names.empty() ? "" : ", ") + std::string{choice.first};
    }
    throw Error{Errc::invalid_input,
                "'" + std::string{option} + "' is one of " + names + ", not '" + std::string{text} + "'"};
}

constexpr std::array<std::pair<std::string_view, Launch>, 5> launches{{{"auto", Launch::automatic},
                                                                       {"local", Launch::local},
                                                                       {"mpi", Launch::mpi},
                                                                       {"pmix", Launch::pmix},
                                                                       {"tcp", Launch::tcp}}};
constexpr std::array<std::pair<std::string_view, Idle>, 3> idles{
    {{"adaptive", Idle::adaptive}, {"spin", Idle::spin}, {"block", Idle::block}}};
constexpr std::array<std::pair<std::string_view, Bind>, 4> binds{
    {{"auto", Bind::automatic}, {"none", Bind::none}, {"core", Bind::core}, {"numa", Bind::numa}}};
constexpr std::array<std::pair<std::string_view, LogLevel>, 4> levels{
    {{"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warn", LogLevel::warn}, {"error", LogLevel::error}}};

[[nodiscard]] std::chrono::milliseconds duration_of(std::string_view option, std::string_view text) {
    if (const auto duration = parse_duration(text)) return *duration;
    throw Error{Errc::invalid_input,
                "'" + std::string{option} + "' is a duration such as 30s or 500ms, not '" + std::string{text} + "'"};
}

[[nodiscard]] std::uint64_t mebibytes_of(std::string_view option, std::string_view text) {
    if (const auto bytes = parse_bytes(std::string{text} + "MiB"); bytes && *bytes > 0) return *bytes;
    throw Error{Errc::invalid_input,
                "'" + std::string{option} + "' is a number of MiB, not '" + std::string{text} + "'"};
}

[[nodiscard]] RunOptions options_from(int argc, char** argv) {
    RunOptions options;
    for (int i = 1; i < argc; ++i) {
        const auto value = [&](std::string_view name) { return option_value(argc, argv, i, name); };
        if (const char* launch = value("--launch")) {
            options.launch = one_of("--launch", launch, launches);
        } else if (const char* transport = value("--transport")) {
            options.transport = transport_kind(transport);
        } else if (const char* idle = value("--idle")) {
            options.idle = one_of("--idle", idle, idles);
        } else if (const char* bind = value("--bind")) {
            options.bind = one_of("--bind", bind, binds);
        } else if (const char* runs_dir = value("--runs-dir")) {
            options.runs_dir = runs_dir;
        } else if (const char* arena = value("--arena-mib")) {
            options.arena_bytes = mebibytes_of("--arena-mib", arena);
        } else if (const char* stall = value("--stall-timeout")) {
            options.stall_timeout = duration_of("--stall-timeout", stall);
        } else if (const char* heartbeat = value("--heartbeat-timeout")) {
            options.heartbeat_timeout = duration_of("--heartbeat-timeout", heartbeat);
        } else if (const char* level = value("--log-level")) {
            options.log_level = one_of("--log-level", level, levels);
        } else if (const char* phase = value("--phase")) {
            options.phase = phase;
        } else if (const char* earlier = value("--earlier")) {
            options.earlier.emplace_back(earlier);
        }
    }
    return options;
}

}  // namespace

struct Runtime::State {
    RunOptions options;
    Registry registry = Registry::with_builtins();
};

Runtime::Runtime(int argc, char** argv) : Runtime{options_from(argc, argv)} {}

Runtime::Runtime(RunOptions options) : state_{std::make_unique<State>()} {
    state_->options = std::move(options);
}

Runtime::~Runtime() = default;

Registry& Runtime::registry() noexcept {
    return state_->registry;
}

RunOptions& Runtime::options() noexcept {
    return state_->options;
}

RunResult Runtime::try_run(const PipelineSpec& spec) {
    const RunOptions& options = state_->options;
    const Launch launch = resolved(options.launch);
    const bool in_job = launch != Launch::local;
    bool has_plan = false;
    try {
        const bool fills = std::ranges::find(spec.stages, StageSpec::fill, &StageSpec::instances) != spec.stages.end();
        Chain chain = make_chain(spec, state_->registry, in_job && fills ? job_size() : 0);
        for (Plan& plan : chain.phases) force_transport(plan, options.transport);
        const bool runs_all = chain.phases.size() > 1 && options.phase.empty() && options.earlier.empty();
        if (runs_all && in_job) refuse_phases(chain);
        if (runs_all) {
            return run_phases(chain, options,
                              [&](const Plan& plan) { return run_local(plan, state_->registry, options); });
        }
        const Plan plan = chosen_phase(chain, options, speaks_for_job(options.launch));
        has_plan = true;
        return in_job ? run_job(launch, plan, state_->registry, options) : run_local(plan, state_->registry, options);
    } catch (const Error& error) {
        const bool speaks = speaks_for_job(options.launch);
        if (in_job && !has_plan) {
            tell_cannot_start(launch, error, options);
            if (!speaks) return {.exit_code = 0, .coordinator = false};
        }
        return {.exit_code = exit_code(error.code()), .error = error.what(), .coordinator = speaks};
    }
}

RunResult Runtime::run(const PipelineSpec& spec) {
    RunResult result = try_run(spec);
    if (const auto error = failure_of(result)) throw Error{*error};
    return result;
}

int exit_code(Errc code) noexcept {
    switch (code) {
        case Errc::invalid_input: return 2;
        case Errc::unsupported: return 3;
        case Errc::exhausted: return 4;
        case Errc::timed_out: return 5;
        case Errc::disconnected: return 6;
        case Errc::failed: return 1;
        case Errc::internal: return 70;
    }
    return 70;
}

}  // namespace penstock
