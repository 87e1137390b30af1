#include "launch/job_launch.hpp"

#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string_view>

#include "launch/job_world.hpp"
#include "launch/rank_watch.hpp"
#include "launch/run.hpp"
#include "memory/arena.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {
namespace {

/// Nobody is left to end this rank in order, and MPI would wait for ever.
[[noreturn]] void end_as_orphan(int exit_code) {
    std::fputs("penstock: rank 0, which coordinates the run, is gone; this rank ends\n", stderr);
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
    switch (launch) {
        case Launch::pmix: return join_pmix_job(options.start_timeout);
        case Launch::tcp: return join_tcp_job(options.start_timeout, options.runs_dir);
        default: return join_mpi_job(options.start_timeout);
    }
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
            mine = "+" + RunDirectory::create(options.runs_dir, plan.pipeline).path();
        } catch (const Error& error) {
            failure = error;
            mine = "-";
        }
    }
    const std::string theirs = world.allgather(mine).at(0);
    if (failure) throw Error{*failure};
    return RunDirectory{theirs.starts_with('+') ? theirs.substr(1) : ""};
}

/// After a failure, until the job is aborted.
constexpr std::chrono::seconds time_to_leave{3};

/// Colour 0 is the coordinator, stage i has colour i + 1.
[[nodiscard]] int colour_of(const Plan& plan, Rank rank) {
    return rank == 0 ? 0 : plan.place(rank).stage + 1;
}

}  // namespace

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

RunResult run_job(Launch launch, const Plan& plan, const Registry& registry, const RunOptions& options) {
    std::vector<File> lines;  // before the world, which they have to outlive
    const std::unique_ptr<JobWorld> joined = join(launch, options);
    JobWorld& world = *joined;
    // mpirun ends all others as soon as one rank fails, and rank 0 must live to say why: it fails for all of them.
    RunResult follower{.exit_code = 0, .coordinator = false};
    if (world.size() != plan.ranks()) {
        if (world.rank() != 0) return follower;
        throw Error{Errc::invalid_input, rank_count_error(plan, world.size(), launch)};
    }
    world.split(colour_of(plan, world.rank()));
    const RunDirectory directory = shared_directory(world, plan, options);
    if (directory.path().empty()) return follower;
    const RunContext run{plan, registry, options, directory, world.describe(), world.stage_communicator()};
    RankWatch watch{world, lines, [code = world.orphan_exit_code()] { end_as_orphan(code); }};
    if (world.rank() != 0) {
        static_cast<void>(run_instance(run, world));  // rank 0 knows how it ended
        follower.run_dir = directory.path();
        return follower;
    }
    const RunSnapshot snapshot = run_coordinator(run, world, watch);
    // Ranks that are gone, stuck in their operator, or waiting in MPI for one that has failed would never come to the
    // orderly end of an MPI job.
    if (snapshot.aborted || (snapshot.state == RunState::failed && !world.all_leave(time_to_leave))) {
        if (options.on_abort) options.on_abort(result_of(run, snapshot));
        world.abort(snapshot.exit_code);
    }
    return result_of(run, snapshot);
}

}  // namespace penstock
