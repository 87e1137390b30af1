#include "launch/job_launch.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>

#include <unistd.h>

#include "launch/job_world.hpp"
#include "launch/process_identity.hpp"
#include "launch/rank_watch.hpp"
#include "launch/run.hpp"
#include "memory/arena.hpp"
#include "plan/phases.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {
namespace {

constexpr std::size_t most_nodes_named = 8;

/// Nobody is left to end this rank in order, and MPI would wait for ever.
[[noreturn]] void end_as_orphan(const std::string& why, int exit_code) {
    std::fputs(("penstock: " + why + "; this rank ends\n").c_str(), stderr);
    std::_Exit(exit_code);
}

/// The first of them that is set to something.
[[nodiscard]] const char* first_variable(std::initializer_list<const char*> names) noexcept {
    for (const char* name : names) {
        const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables
        if (text != nullptr && *text != '\0') return text;
    }
    return nullptr;
}

[[nodiscard]] std::unique_ptr<JobWorld> join(Launch launch, const RunOptions& options) {
    return join_job(launch, options.start_timeout, options.runs_dir);
}

[[nodiscard]] std::string rank_count_error(const Plan& plan, Rank ranks, Launch launch) {
    std::string parts = "1 coordinator";
    for (const PlannedStage& stage : plan.stages) parts += " + " + std::to_string(stage.instances) + " " + stage.name;
    const std::string needed = std::to_string(plan.ranks());
    const auto variable = [](const char* name) { return std::string_view{std::getenv(name) ? std::getenv(name) : ""}; };
    const bool by_srun = variable("SLURM_STEP_NUM_TASKS") == std::to_string(ranks);
    return "pipeline '" + plan.pipeline + "' needs " + needed + " ranks (" + parts + "), but this job has " +
           std::to_string(ranks) + "; start it with '" +
           (launch == Launch::tcp ? "srun -n "
            : by_srun             ? "srun --mpi=pmix -n "
                                  : "mpirun -n ") +
           needed + "'" +
           (variable("SLURM_JOB_ID").empty() ? "" : " in a job of as many tasks, or with `penstock launch`");
}

/// Rank 0 makes the run directory; everybody learns where it is. The others get an empty path if there is none.
[[nodiscard]] RunDirectory shared_directory(JobWorld& world, const Plan& plan, const RunOptions& options) {
    std::string mine;
    std::optional<Error> failure;
    if (world.rank() == 0) {
        try {
            mine = "+" + RunDirectory::create(options.runs_dir, run_name(plan)).path();
        } catch (const Error& error) {
            failure = error;
            mine = "-";
        }
    }
    const std::string theirs = world.allgather(mine).at(0);
    if (failure) throw Error{*failure};
    return RunDirectory{theirs.starts_with('+') ? theirs.substr(1) : ""};
}

/// What a rank says that cannot start: the number of its `Errc`, and why.
[[nodiscard]] std::string refusal_of(const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + " " + host_name() + ": " + error.what();
}

/// The first collective call of a job. @throws Error in every rank if one of them cannot start.
void wait_for_all(JobWorld& world, const Plan& plan) {
    const std::vector<std::string> said = world.allgather({});
    for (Rank rank = 0; rank < said.size(); ++rank) {
        if (said[rank].empty()) continue;
        const auto label = rank < plan.ranks() ? plan.label(rank) + " (rank " + std::to_string(rank) + ")"
                                               : "rank " + std::to_string(rank);
        throw Error{static_cast<Errc>(std::atoi(said[rank].c_str())),
                    label + " cannot start on " + said[rank].substr(said[rank].find(' ') + 1)};
    }
}

/// Nodes that do not see the run directory have no place for logs and results.
void check_shared(JobWorld& world, const RunDirectory& directory) {
    const bool is_here = access(directory.path().c_str(), F_OK) == 0;
    const std::vector<std::string> without = world.allgather(is_here ? "" : host_name());
    std::vector<std::string> names;
    for (const std::string& name : without) {
        if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
    if (names.empty()) return;
    std::string text = names.front();
    for (std::size_t i = 1; i < std::min(names.size(), most_nodes_named); ++i) text += ", " + names[i];
    if (names.size() > most_nodes_named) text += " and " + std::to_string(names.size() - most_nodes_named) + " more";
    if (world.rank() == 0) {
        std::error_code ignored;
        std::filesystem::remove_all(directory.path(), ignored);  // there is nothing in it
    }
    throw Error{Errc::invalid_input, "the run directory '" + directory.path() + "' is not to be seen on " + text +
                                         "; choose a place on a file system that all nodes share with --runs-dir"};
}

/// After a failure, until the job is aborted.
constexpr std::chrono::seconds time_to_leave{3};

/// Colour 0 is the coordinator, stage i has colour i + 1.
[[nodiscard]] int colour_of(const Plan& plan, Rank rank) {
    return rank == 0 ? 0 : plan.place(rank).stage + 1;
}

}  // namespace

std::unique_ptr<JobWorld> join_job(Launch launch, std::chrono::milliseconds timeout, const std::string& folder) {
    switch (launch) {
        case Launch::pmix: return join_pmix_job(timeout);
        case Launch::tcp: return join_tcp_job(timeout, folder);
        default: return join_mpi_job(timeout);
    }
}

Launch resolved(Launch asked) noexcept {
    if (asked != Launch::automatic) return asked;
    // Not SLURM_PROCID: srun sets it for every program.
    const bool in_job = first_variable({"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) != nullptr;
    if (in_job && has_mpi()) return Launch::mpi;
    return has_pmix() && first_variable({"PMIX_RANK"}) != nullptr ? Launch::pmix : Launch::local;
}

std::uint32_t job_size() {
    const char* text = first_variable({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PENSTOCK_RANKS", "SLURM_STEP_NUM_TASKS"});
    const long size = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
    if (size > 0 && size <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::uint32_t>(size);
    throw Error{Errc::unsupported,
                "how many processes this job has is in none of the variables OMPI_COMM_WORLD_SIZE, PMI_SIZE, "
                "PENSTOCK_RANKS and SLURM_STEP_NUM_TASKS; write a number of instances instead of \"fill\""};
}

bool speaks_for_job(Launch launch) noexcept {
    if (launch == Launch::local) return true;
    const char* rank = launch == Launch::tcp ? first_variable({"PENSTOCK_RANK", "SLURM_PROCID"})
                                             : first_variable({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"});
    return rank == nullptr || std::string_view{rank} == "0";
}

void tell_cannot_start(Launch launch, const Error& error, const RunOptions& options) noexcept {
    try {
        static_cast<void>(join(launch, options)->allgather(refusal_of(error)));
    } catch (const std::exception&) {  // it will be missed, then
    }
}

RunResult run_job(Launch launch, const Plan& plan, const Registry& registry, const RunOptions& options) {
    std::vector<File> lines;  // before the world, which they have to outlive, as what watches its end
    std::optional<RankWatch> watch;
    const std::unique_ptr<JobWorld> joined = join(launch, options);
    JobWorld& world = *joined;
    // mpirun ends all others as soon as one rank fails, and rank 0 must live to say why: it fails for all of them.
    RunResult follower{.exit_code = 0, .coordinator = false};
    const auto together = [&](const auto& check) {
        try {
            check();
            return true;
        } catch (const Error& error) {
            if (world.rank() == 0 || error.code() == Errc::timed_out) throw;
            return false;
        }
    };
    if (!together([&] { wait_for_all(world, plan); })) return follower;
    if (world.size() != plan.ranks()) {
        if (world.rank() != 0) return follower;
        throw Error{Errc::invalid_input, rank_count_error(plan, world.size(), launch)};
    }
    world.split(colour_of(plan, world.rank()));
    const RunDirectory directory = shared_directory(world, plan, options);
    if (directory.path().empty()) return follower;
    if (!together([&] { check_shared(world, directory); })) return follower;
    RunContext run{plan, registry, options, directory, world.describe(), world.stage_communicator()};
    // Rank 0 ends with this code too, if it can see that the link is cut.
    const auto end_as_cut_off = [](const std::string& why) { end_as_orphan(why, exit_code(Errc::disconnected)); };
    watch.emplace(RankWatch::Setup{
        .bootstrap = world,
        .plan = plan,
        .lines = lines,
        .silence = options.heartbeat_timeout,
        .on_orphaned = [code = world.orphan_exit_code(), end_as_cut_off](const std::string& why, bool is_silent) {
            is_silent ? end_as_cut_off(why) : end_as_orphan(why, code);
        }});
    run.unwatched = watch->unwatched();
    if (world.rank() != 0) {
        static_cast<void>(run_instance(run, world));  // rank 0 knows how it ended
        watch->watch_end(end_as_cut_off);
        follower.run_dir = directory.path();
        return follower;
    }
    const RunSnapshot snapshot = run_coordinator(run, world, *watch);
    // Ranks that are gone, stuck in their operator, or waiting in MPI for one that has failed would never come to the
    // orderly end of an MPI job.
    const bool some_may_not_come = snapshot.state == RunState::failed || watch->has_lost_some();
    if (snapshot.aborted || (some_may_not_come && !world.all_leave(time_to_leave))) {
        if (options.on_abort) options.on_abort(result_of(run, snapshot));
        world.abort(snapshot.exit_code);
    }
    RunResult result = result_of(run, snapshot);
    watch->watch_end([result, on_abort = options.on_abort](const std::string& why) {
        if (on_abort) on_abort(result);
        end_as_orphan(why + ", when all was done", result.exit_code);
    });
    return result;
}

}  // namespace penstock
