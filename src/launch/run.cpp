#include "launch/run.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <thread>
#include <utility>

#include <unistd.h>

#include "base/clock.hpp"
#include "base/cores.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "launch/binding.hpp"
#include "launch/gpus.hpp"
#include "launch/process_identity.hpp"
#include "launch/run_record.hpp"
#include "launch/threshold_file.hpp"
#include "plan/describe.hpp"
#include "plan/node_kinds.hpp"
#include "plan/placement.hpp"
#include "runtime/instance.hpp"
#include "runtime/progress.hpp"
#include "transports/make.hpp"

namespace penstock {
namespace {

/// Rings to every neighbour, directories and status live beside the payloads.
constexpr std::uint64_t arena_overhead_bytes = 4U << 20U;
constexpr std::uint64_t arena_bytes_per_rank = 264U << 10U;

[[nodiscard]] std::size_t arena_size(const RunContext& run) {
    return run.options.arena_bytes + arena_overhead_bytes + run.plan.ranks() * arena_bytes_per_rank;
}

[[nodiscard]] std::unique_ptr<Logger> logger_for(const RunContext& run, const std::string& label) {
    return make_logger({.label = label,
                        .level = run.options.log_level,
                        .jsonl_path = run.directory.log_of(label),
                        .human = true,
                        .terminal = isatty(STDERR_FILENO) != 0});
}

/// Lets a process that cannot start say so to all others, which wait for it in an exchange.
class StartUp final : public Bootstrap {
public:
    StartUp(Bootstrap& inner, const Plan& plan) noexcept : inner_{inner}, plan_{plan} {}
    [[nodiscard]] Rank rank() const noexcept override { return inner_.rank(); }
    [[nodiscard]] Rank size() const noexcept override { return inner_.size(); }

    /// @throws Error as the first rank that cannot start has it.
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override {
        std::vector<std::string> all = exchange(going + mine);
        for (Rank rank = 0; rank < all.size(); ++rank) {
            if (all[rank].empty()) {
                is_over_ = true;
                throw Error{Errc::disconnected, "the run ended while it started; the first message of it says why"};
            }
            if (all[rank].starts_with(going)) {
                all[rank].erase(0, 1);
                continue;
            }
            is_over_ = true;
            throw refusal(rank, all[rank]);
        }
        return all;
    }

    /// The last exchange: from here on there are other ways to say what went wrong.
    void end() { static_cast<void>(allgather({})); }

    /// Does not tell if all know already, or cannot be told.
    /// @return the error, or what another rank says at the same time, if it is only that others are gone.
    [[nodiscard]] Error fail(const Error& error) noexcept {
        if (is_over_) return error;
        try {
            const auto all =
                exchange(failing + std::to_string(static_cast<int>(error.code())) + " " + message_of(error));
            for (Rank other = 0; other < all.size() && error.code() == Errc::disconnected; ++other) {
                if (other != rank() && all[other].starts_with(failing)) return refusal(other, all[other]);
            }
        } catch (const std::exception&) {
            is_over_ = true;
        }
        return error;
    }

private:
    static constexpr const char* going = "+";
    static constexpr const char* failing = "-";

    [[nodiscard]] Error refusal(Rank rank, const std::string& said) const {
        const std::size_t end = said.find(' ');
        const auto code = static_cast<Errc>(std::atoi(said.substr(1, end).c_str()));
        return Error{code, plan_.label(rank) + " cannot start: " + said.substr(std::min(end + 1, said.size()))};
    }

    [[nodiscard]] std::vector<std::string> exchange(const std::string& mine) {
        try {
            return inner_.allgather(mine);
        } catch (...) {
            is_over_ = true;
            throw;
        }
    }
    /// Without the name of its code, which it gets again.
    [[nodiscard]] static std::string message_of(const Error& error) {
        std::string_view text = error.what();
        const std::string name = std::string{name_of(error.code())} + ": ";
        if (text.starts_with(name)) text.remove_prefix(name.size());
        return std::string{text};
    }

    Bootstrap& inner_;
    const Plan& plan_;
    bool is_over_ = false;
};

/// Binds this process before it touches any memory that matters. Collective.
/// @param threads  0 for one that stays where it is.
[[nodiscard]] Placement place_and_bind(const RunContext& run, Bootstrap& bootstrap, int threads, Logger& log) {
    const CpuOffer mine{.host = host_name(), .cpus = usable_cpus(), .threads = threads};
    std::vector<CpuOffer> offers;
    for (const std::string& text : bootstrap.allgather(mine.encode())) offers.push_back(CpuOffer::decode(text));
    Placement placement = place_process(run.options.bind, offers, bootstrap.rank());
    if (placement.binding.cpus.empty()) {
        log.debug("not bound to processors: " + placement.reason);
    } else {
        bind_thread(placement.binding.cpus);
        log.info("bound to CPU " + cpu_list(placement.binding.cpus) + " of NUMA node " +
                 cpu_list(placement.binding.nodes) + ": " + placement.reason);
    }
    return placement;
}

/// Gives the instance its GPU before its operator is made, and hides those of others. Collective, if any stage is for
/// GPUs.
/// @param has_process  False for one that shares its process, whose environment is not the instance's.
/// @return its name; empty if it has none.
[[nodiscard]] std::string take_gpu(const RunContext& run, Bootstrap& bootstrap, bool has_process, Logger& log) {
    if (!asks_for_gpus(run.plan)) return {};
    const GpuOffer own{.host = host_name(), .gpus = find_gpus(GpuPlaces::real())};
    std::vector<GpuOffer> offers;
    for (const std::string& text : bootstrap.allgather(own.encode())) offers.push_back(GpuOffer::decode(text));
    const std::string mine = share_gpus(run.plan, offers)[bootstrap.rank()];
    if (!has_process) return {};
    for (const auto& [name, value] : gpu_environment(own.gpus, mine)) {
        value ? setenv(name, value->c_str(), 1) : unsetenv(name);
    }
    if (!mine.empty()) {
        log.info("GPU " + mine + " is this instance's own, one of " + std::to_string(own.gpus.names.size()) + " by " +
                 own.gpus.from);
    }
    return mine;
}

[[nodiscard]] bool are_several(const std::vector<HostInfo>& hosts) {
    return std::ranges::any_of(hosts, [&](const HostInfo& each) { return each.host != hosts[0].host; });
}

/// What both kinds of process need before their roles part.
struct Process {
    /// @param threads   Of the operator; 0 for a process that is not to be bound.
    /// @param measured  As for `TransportSet`.
    Process(const RunContext& run, Bootstrap& bootstrap, int threads, Logger& log,
            const MeasuredThresholds& measured = {})
        : placement{place_and_bind(run, bootstrap, threads, log)},
          gpu{take_gpu(run, bootstrap, threads > 0, log)},
          hosts{all_hosts(bootstrap, placement.binding, gpu)},
          arena{arena_size(run)},
          transports{bootstrap, arena, wanted_by(run), measured},
          reactor{transports, {.idle = run.options.idle, .cores_to_spare = !placement.is_crowded}} {
        reactor.set_labels([&plan = run.plan, this](Rank rank) {
            return plan.label(rank) + (are_several(hosts) ? " on " + hosts[rank].host : "");
        });
    }

    /// The transports that channels ask for.
    [[nodiscard]] static std::vector<std::string_view> wanted_by(const RunContext& run) {
        std::vector<std::string_view> names;
        for (const PlannedChannel& channel : run.plan.channels) names.push_back(name_of(channel.transport));
        return names;
    }

    [[nodiscard]] static std::vector<HostInfo> all_hosts(Bootstrap& bootstrap, const Binding& binding,
                                                         const std::string& gpu) {
        HostInfo here = HostInfo::here();
        here.gpu = gpu;
        here.cpus = cpu_list(binding.cpus);
        here.numa = cpu_list(binding.nodes);
        std::vector<HostInfo> all;
        for (const std::string& text : bootstrap.allgather(here.encode())) all.push_back(HostInfo::decode(text));
        return all;
    }

    Placement placement;
    std::string gpu;
    std::vector<HostInfo> hosts;
    Arena arena;
    TransportSet transports;
    Reactor reactor;
};

/// Keeps the run directory true while the run goes on. A full disk there is reported once and does not end the run.
class StatusFiles {
public:
    StatusFiles(const RunContext& run, Logger& log) : run_{run}, log_{log} {}

    void write(std::string_view name, const std::string& text) {
        try {
            run_.directory.replace(name, text);
        } catch (const Error& error) {
            if (!warned_) log_.warn(error.what());
            warned_ = true;
        }
    }

private:
    const RunContext& run_;
    Logger& log_;
    bool warned_ = false;
};

/// Does what was asked through the run directory: what a signal would do, or in a part of somebody's program what that
/// program would.
class StopRequests {
public:
    StopRequests(const RunContext& run, Logger& log) : run_{run}, log_{log} {}

    void look() {
        const StopRequest wanted = requested_stop(run_.directory.path());
        if (wanted <= done_) return;
        log_.info("Asked through the run directory to stop");
        if (run_.takes_signals) {
            // Two are needed to abort: the first one may be the one that was asked for before.
            for (auto at = static_cast<int>(done_); at < static_cast<int>(wanted); ++at) std::raise(SIGTERM);
        } else if (run_.control != nullptr && wanted == StopRequest::drain) {
            run_.control->stop();
        } else if (run_.control != nullptr) {
            run_.control->abort({Errc::failed, "aborted through the run directory; what was not settled is lost"});
        }
        done_ = wanted;
    }

private:
    const RunContext& run_;
    Logger& log_;
    StopRequest done_ = StopRequest::none;
};

/// Somebody may have removed the run directory: files that are still open take what is written to them, and are gone.
void check_directory(const RunContext& run, RunSnapshot& last, Logger& log) {
    std::error_code unknown;
    if (std::filesystem::status(run.directory.results(), unknown).type() != std::filesystem::file_type::not_found)
        return;
    const Error lost{Errc::failed, "the run directory " + path_in_quotes(run.directory.path()) +
                                       " was removed while the run went on; what was written there is lost"};
    log.error(lost.what());
    if (!run.takes_signals) return;  // the answers of somebody's program are not there
    last.error = last.error.empty() ? lost.what() : last.error + "\n" + lost.what();
    if (last.state == RunState::failed) return;
    last.state = RunState::failed;
    last.exit_code = exit_code(lost.code());
}

[[nodiscard]] std::vector<std::string> transport_names(const RunContext& run, const Process& process, Logger& log) {
    for (const std::string& note : process.transports.notes()) log.info(note);
    std::vector<std::string> names{"none"};
    std::map<std::string, int> counts;
    for (Rank rank = 1; rank < run.plan.ranks(); ++rank) {
        const auto choice = process.transports.choose(rank, "auto");
        names.emplace_back(choice.transport->name());
        ++counts[std::string{choice.transport->name()} + " (" + choice.reason + ")"];
        log.debug("transport to " + run.plan.label(rank) + ": " + names.back() + ", " + choice.reason);
    }
    for (const auto& entry : counts) log.info(std::to_string(entry.second) + " instances over " + entry.first);
    return names;
}

/// Which thresholds hold, where they are from, and why those of the file do not.
void tell_thresholds(const std::vector<ThresholdsInUse>& all, const ThresholdFile& file, Logger& log) {
    for (const ThresholdsInUse& each : all) {
        std::string text = "Thresholds of " + each.transport + ": " + words_of(each.thresholds);
        if (each.is_measured) {
            log.info(text + " (from " + path_in_quotes(file.path()) + ")");
            continue;
        }
        log.info(text + " (built in)");
        std::string others;
        for (const MeasuredEntry& entry : file.entries()) {
            if (entry.transport == each.transport)
                others.append(others.empty() ? "" : " and ").append(path_in_quotes(entry.measured_for));
        }
        if (others.empty()) continue;
        log.warn("the thresholds of " + each.transport + " in " + path_in_quotes(file.path()) + " are for " + others +
                 ", not for " + path_in_quotes(each.measured_for) +
                 ", and are not used; measure there with 'penstock tune'");
    }
}

/// How a channel's payloads get to this stage or from it: "shm", or "shm, mpi" where it depends on the instance.
[[nodiscard]] std::string transports_of(const RunContext& run, const Process& process, std::uint16_t channel,
                                        std::uint16_t other_stage) {
    const PlannedStage& other = run.plan.stages[other_stage];
    const std::string_view wanted = name_of(run.plan.channels[channel].transport);
    std::string text;
    for (int i = 0; i < other.instances; ++i) {
        const Rank rank = other.first_rank + static_cast<Rank>(i);
        const std::string_view name = process.transports.choose(rank, wanted).transport->name();
        if (text.find(name) == std::string::npos) text.append(text.empty() ? "" : ", ").append(name);
    }
    return text;
}

/// Nobody but Slurm knows the features and the partitions of nodes.
void warn_of_kinds(const Plan& plan, Logger& log) {
    for (const PlannedStage& stage : plan.stages) {
        const NodeKind kind{.constraint = stage.placement.constraint, .partition = stage.placement.partition};
        if (kind == NodeKind{}) continue;
        log.warn("stage " + in_quotes(stage.name) + " is for nodes with " + kind_words(kind) +
                 ", which means nothing outside of a job of Slurm; `penstock launch` asks for them");
    }
}

/// What started the processes has the last word about where they are; where that is not as the stages ask, the log says
/// so.
void check_placement(const Plan& plan, const std::vector<HostInfo>& hosts, bool several_hosts, Logger& log) {
    const char* job = std::getenv("SLURM_JOB_ID");  // whoever has made that has asked for the nodes
    if (job == nullptr || *job == '\0') warn_of_kinds(plan, log);
    if (!asks_for_placement(plan)) return;
    if (!several_hosts) {
        log.info("All processes are on one node: \"placement\" has no effect");
        return;
    }
    std::vector<std::string> nodes;
    for (const HostInfo& host : hosts) nodes.push_back(host.host);
    const auto problems = misplaced_stages(plan, nodes);
    for (const std::string& problem : problems) log.warn(problem + "; `penstock launch` places it in a job of Slurm");
    if (problems.empty()) log.info("All stages are placed as they ask");
}

[[nodiscard]] Provenance provenance_of(const RunContext& run, const Process& process, Rank rank) {
    Provenance from{
        .pipeline = run.plan.pipeline, .plan = plan_json(run.plan), .run = run.directory.path(), .rank = rank};
    for (const HostInfo& host : process.hosts) from.hosts.push_back(host.host);
    const PlannedStage& stage = run.plan.stages[run.plan.place(rank).stage];
    const auto add = [&](std::uint16_t channel, std::uint16_t other_stage) {
        from.transports.push_back(run.plan.channels[channel].name + ": " +
                                  transports_of(run, process, channel, other_stage));
    };
    for (const std::uint16_t channel : stage.inputs) add(channel, run.plan.channels[channel].from);
    for (const std::uint16_t channel : stage.outputs) add(channel, run.plan.channels[channel].to);
    return from;
}

}  // namespace

RunSnapshot run_coordinator(const RunContext& run, Bootstrap& bootstrap, Supervisor& supervisor) {
    const auto log = logger_for(run, "coordinator");
    StatusFiles files{run, *log};
    ProgressView progress{run.plan, run.options.progress};
    StopRequests requests{run, *log};
    RunSnapshot last;
    StartUp start_up{bootstrap, run.plan};
    auto on_status = run.options.on_status;
    bool has_started = false;
    try {
        log->info("Run directory: " + run.directory.path());
        log->info("Launched by: " + run.launched_by);
        if (!run.unwatched.empty()) log->warn(run.unwatched);
        run.directory.write_start(run.plan, run.launched_by);
        run.directory.replace("plan.json", plan_json(run.plan));
        const FoundThresholds found = find_thresholds(ThresholdPlace::from_environment());
        if (!found.warning.empty()) log->warn(found.warning);
        Process process{run, start_up, 0, *log, [&](std::string_view transport, const std::string& measured_for) {
                            return found.file.find(transport, measured_for);
                        }};
        tell_thresholds(process.transports.thresholds(), found.file, *log);
        run.directory.write_peers(run.plan, process.hosts, transport_names(run, process, *log));
        const bool several_hosts = are_several(process.hosts);
        check_placement(run.plan, process.hosts, several_hosts, *log);
        Coordinator coordinator{{.plan = run.plan,
                                 .reactor = process.reactor,
                                 .arena = process.arena,
                                 .log = *log,
                                 .supervisor = supervisor,
                                 .options = run.options,
                                 .several_hosts = several_hosts,
                                 .thresholds = process.transports.thresholds(),
                                 .thresholds_file = found.file.path(),
                                 .on_snapshot =
                                     [&](const RunSnapshot& snapshot) {
                                         const auto text = snapshot_json(run.plan, snapshot, run.directory.path());
                                         files.write("status.json", text);
                                         if (const auto tell = std::exchange(on_status, {})) {
                                             tell(text);  // once it has thrown it is not asked again
                                             on_status = tell;
                                         }
                                         progress.show(snapshot);
                                         if (run.on_snapshot) run.on_snapshot(snapshot);
                                         requests.look();
                                     },
                                 .control = run.control,
                                 .takes_signals = run.takes_signals}};
        start_up.end();
        has_started = true;
        last = coordinator.run();
    } catch (const Error& mine) {
        const Error error = has_started ? mine : start_up.fail(mine);
        last.state = RunState::failed;
        last.exit_code = exit_code(error.code());
        last.error = error.what();
        auto gone = supervisor.lost();
        // The kernel closes what a process had open before it says how the process ended.
        const auto deadline = SteadyClock::now() + std::chrono::milliseconds{200};
        while (!has_started && error.code() == Errc::disconnected && gone.empty() && SteadyClock::now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
            gone = supervisor.lost();
        }
        for (const Supervisor::Lost& lost : gone) {
            last.error += "\n  " + run.plan.label(lost.rank) + " (rank " + std::to_string(lost.rank) + ") " + lost.how;
        }
        log->error(last.error);
    }
    progress.end();
    check_directory(run, last, *log);
    const std::string report = snapshot_json(run.plan, last, run.directory.path());
    files.write("status.json", report);
    files.write("stats.json", report);
    return last;
}

RunResult result_of(const RunContext& run, const RunSnapshot& snapshot) {
    return {.exit_code = snapshot.exit_code,
            .error = snapshot.error,
            .run_dir = run.directory.path(),
            .report = snapshot_json(run.plan, snapshot, run.directory.path()),
            .summary = snapshot_table(run.plan, snapshot)};
}

int run_instance(const RunContext& run, Bootstrap& bootstrap, const Hosting* hosting) {
    const Rank rank = bootstrap.rank();
    const auto log = logger_for(run, run.plan.label(rank));
    StartUp start_up{bootstrap, run.plan};
    bool has_started = false;
    try {
        for (const auto& entry : run.plan.stages[run.plan.place(rank).stage].env) {
            setenv(entry.first.c_str(), entry.second.c_str(), 1);
        }
        // A thread of somebody's program stays where that program has it.
        const int threads = hosting == nullptr ? run.plan.stages[run.plan.place(rank).stage].threads : 0;
        const auto held = std::make_shared<Process>(run, start_up, threads, *log);
        Process& process = *held;
        if (hosting != nullptr) hosting->on_arena(std::shared_ptr<Arena>{held, &held->arena});
        Instance instance{{.plan = run.plan,
                           .registry = run.registry,
                           .rank = rank,
                           .arena = process.arena,
                           .reactor = process.reactor,
                           .log = *log,
                           .results_dir = run.directory.results(),
                           .provenance = provenance_of(run, process, rank),
                           .communicator = run.stage_communicator,
                           .abandoned = hosting != nullptr ? &hosting->abandoned : nullptr}};
        start_up.end();
        has_started = true;
        const int code = instance.run();
        if (hosting != nullptr) hosting->on_end();
        return code;
    } catch (const Error& mine) {
        const Error error = has_started ? mine : start_up.fail(mine);
        log->error(error.what());
        return exit_code(error.code());
    } catch (const Interrupted&) {
        return exit_code(Errc::disconnected);
    }
}

std::optional<Errc> errc_of_exit(int code) noexcept {
    for (const Errc errc : {Errc::invalid_input, Errc::unsupported, Errc::exhausted, Errc::timed_out,
                            Errc::disconnected, Errc::failed, Errc::internal}) {
        if (exit_code(errc) == code) return errc;
    }
    return std::nullopt;
}

std::optional<Error> failure_of(const RunResult& result) {
    const auto code = errc_of_exit(result.exit_code);
    if (!code) return std::nullopt;
    const std::string prefix = std::string{name_of(*code)} + ": ";
    return Error{*code, result.error.starts_with(prefix) ? result.error.substr(prefix.size()) : result.error};
}

}  // namespace penstock
