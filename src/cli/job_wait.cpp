#include "cli/job_wait.hpp"

#include <algorithm>
#include <csignal>
#include <ostream>
#include <thread>

#include <fmt/format.h>

#include <penstock/error.hpp>
#include <penstock/runtime.hpp>

#include "base/format.hpp"
#include "launch/run_record.hpp"

namespace penstock::cli {
namespace {

using namespace std::chrono_literals;

/// @return what the run ended with, as far as Slurm alone knows.
[[nodiscard]] int exit_code_of(const SlurmJobState& job) {
    if (job.exit_code != 0) return job.exit_code;
    if (job.state == "COMPLETED") return 0;
    if (job.state == "CANCELLED" || job.state == "PREEMPTED") return 128 + SIGTERM;
    if (job.state == "TIMEOUT" || job.state == "DEADLINE") return exit_code(Errc::timed_out);
    if (job.state == "OUT_OF_MEMORY") return exit_code(Errc::exhausted);
    if (job.state == "NODE_FAIL" || job.state == "BOOT_FAIL") return exit_code(Errc::disconnected);
    return exit_code(Errc::failed);
}

/// Between two questions to Slurm, which has others to serve: soon at first, later every few seconds.
class Pause {
public:
    void take(std::chrono::milliseconds at_most) {
        std::this_thread::sleep_for(std::min(next_, at_most));
        next_ = std::min(next_ * 3 / 2, longest);
    }

private:
    static constexpr std::chrono::milliseconds longest{5'000};
    std::chrono::milliseconds next_{200};
};

}  // namespace

std::optional<SlurmJobState> end_of(const std::string& id, const Patience& patience) {
    Pause pause;
    auto job = look_at_job(id);
    while (job && !job->is_over() && !job->can_never_start()) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(patience.end - SteadyClock::now());
        if (left <= 0ms) {
            throw Error{
                Errc::timed_out,
                fmt::format("job {} is {}{} after {}; it goes on: `squeue -j {}` shows it, `scancel {}` ends it", id,
                            job->state, job->reason == "None" ? "" : " (" + job->reason + ")",
                            format_duration(patience.limit), id, id)};
        }
        pause.take(left);
        job = look_at_job(id);
    }
    return job;
}

int wait_for(const Program& program, const std::string& runs_dir, const std::string& id, const Patience& patience) {
    const auto job = end_of(id, patience);
    if (job && job->can_never_start()) {
        throw Error{Errc::failed, fmt::format("job {} waits for a job that has failed, and will never start; "
                                              "remove it with `scancel {}`",
                                              id, id)};
    }
    const std::string path = find_run_of_job(runs_dir, id);
    if (!path.empty()) {
        const RunRecord run = read_run(path);
        if (run.is_over() && run.state != "unknown") {
            program.err << fmt::format("job {}: the run is {}, exit code {}; run directory: {}\n", id, run.state,
                                       run.end_code(), path);
            if (!run.error.empty()) program.err << run.error << '\n';
            if (!run.note.empty()) program.err << run.note << '\n';
            return run.end_code();
        }
    }
    if (!job) {
        throw Error{Errc::disconnected, "Slurm no longer knows job " + id + ", and no run of it is in '" + runs_dir +
                                            "'; see the output file of the job"};
    }
    program.err << fmt::format(
        "job {}: {} with exit code {}, and no run of it is in '{}'; see the output file of the "
        "job, slurm-{}.out if not named otherwise\n",
        id, job->state, job->exit_code, runs_dir, id);
    return exit_code_of(*job);
}

}  // namespace penstock::cli
