#include "launch/mpi_launch.hpp"

#include <array>
#include <cstdlib>
#include <limits>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch/mpi_world.hpp"
#include "launch/run.hpp"
#include "memory/arena.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {
namespace {

/// Two processes with the same text see the same process numbers.
[[nodiscard]] std::string process_space() {
    std::array<char, 64> space{};
    if (readlink("/proc/self/ns/pid", space.data(), space.size() - 1) < 0) return "unknown";
    std::array<char, 64> boot{};
    const File file{open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)};
    if (!file || read(file.get(), boot.data(), boot.size() - 1) < 0) return "unknown";
    return std::string{space.data()} + boot.data();
}

/// Watches the ranks that share this process's node; MPI itself ends the job when another one dies.
class NodeWatch final : public Supervisor {
public:
    explicit NodeWatch(Bootstrap& bootstrap) {
        const std::string here = process_space();
        const auto all = bootstrap.allgather(std::to_string(getpid()) + " " + here);
        watched_.resize(all.size());
        for (Rank rank = 1; rank < all.size(); ++rank) {
            const auto space = all[rank].find(' ');
            if (here == "unknown" || space == std::string::npos || all[rank].substr(space + 1) != here) continue;
            const auto pid = static_cast<pid_t>(std::atoi(all[rank].c_str()));
            watched_[rank] = File{static_cast<int>(syscall(SYS_pidfd_open, pid, 0U))};
        }
    }

    [[nodiscard]] std::vector<Lost> lost() override {
        std::vector<Lost> lost;
        for (Rank rank = 1; rank < watched_.size(); ++rank) {
            if (!watched_[rank]) continue;
            pollfd entry{.fd = watched_[rank].get(), .events = POLLIN, .revents = 0};
            if (::poll(&entry, 1, 0) <= 0) continue;
            watched_[rank] = File{};
            lost.push_back({rank, "is gone: its process ended without a word"});
        }
        return lost;
    }

private:
    std::vector<File> watched_;  // pidfds by rank
};

[[nodiscard]] std::string rank_count_error(const Plan& plan, Rank ranks) {
    std::string parts = "1 coordinator";
    for (const PlannedStage& stage : plan.stages) parts += " + " + std::to_string(stage.instances) + " " + stage.name;
    const std::string needed = std::to_string(plan.ranks());
    const auto variable = [](const char* name) { return std::string_view{std::getenv(name) ? std::getenv(name) : ""}; };
    const bool by_srun = variable("SLURM_STEP_NUM_TASKS") == std::to_string(ranks);
    return "pipeline '" + plan.pipeline + "' needs " + needed + " ranks (" + parts + "), but this MPI job has " +
           std::to_string(ranks) + "; start it with '" + (by_srun ? "srun --mpi=pmix -n " : "mpirun -n ") + needed +
           "'" + (variable("SLURM_JOB_ID").empty() ? "" : " in a job of as many tasks, or with `penstock launch`");
}

/// Rank 0 makes the run directory; everybody learns where it is. The others get an empty path if there is none.
[[nodiscard]] RunDirectory shared_directory(MpiWorld& world, const Plan& plan, const RunOptions& options) {
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

bool inside_mpi_job() noexcept {
    return MpiWorld::detected();
}

std::uint32_t mpi_job_size() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
        const char* text = std::getenv(name);
        const long size = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
        if (size > 0 && size <= std::numeric_limits<std::int32_t>::max()) return static_cast<std::uint32_t>(size);
    }
    throw Error{Errc::unsupported,
                "how many processes this MPI job has is in none of the variables OMPI_COMM_WORLD_SIZE, PMI_SIZE and "
                "SLURM_STEP_NUM_TASKS; write a number of instances instead of \"fill\""};
}

bool speaks_for_job() noexcept {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
        if (const char* rank = std::getenv(name)) return std::string_view{rank} == "0";
    }
    return true;
}

RunResult run_mpi(const Plan& plan, const Registry& registry, const RunOptions& options) {
    MpiWorld world{options.start_timeout};
    // mpirun ends all others as soon as one rank fails, and rank 0 must live to say why: it fails for all of them.
    RunResult follower{.exit_code = 0, .coordinator = false};
    if (world.size() != plan.ranks()) {
        if (world.rank() != 0) return follower;
        throw Error{Errc::invalid_input, rank_count_error(plan, world.size())};
    }
    world.split(colour_of(plan, world.rank()));
    const RunDirectory directory = shared_directory(world, plan, options);
    if (directory.path().empty()) return follower;
    const RunContext run{plan, registry, options, directory, world.describe(), world.stage_communicator()};
    NodeWatch watch{world};
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
