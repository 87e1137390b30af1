#include "cli/job_wait.hpp"

#include <algorithm>
#include <csignal>
#include <ostream>
#include <thread>

#include <fmt/format.h>

#include <penstock/error.hpp>
#include <penstock/runtime.hpp>

#include "base/format.hpp"
#include "base/time_text.hpp"
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

/// A controller that is started anew, or has too much to do, does not end a wait of hours.
constexpr std::chrono::minutes longest_silence{10};

[[nodiscard]] std::chrono::milliseconds left_until(SteadyClock::time_point end) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(end - SteadyClock::now());
}

/// `look_at_job`, asked again while Slurm does not answer.
[[nodiscard]] std::optional<SlurmJobState> look_patiently(const Program& program, const std::string& id,
                                                          const Patience& patience) {
    const auto end = std::min(patience.end, deadline_in(longest_silence));
    Pause pause;
    for (bool is_first = true;; is_first = false) {
        try {
            return look_at_job(id);
        } catch (Error& error) {
            const bool may_pass = error.code() == Errc::disconnected || error.code() == Errc::timed_out;
            if (!may_pass || SteadyClock::now() >= end) {
                error.add_context("waiting for job " + id + ", which goes on without this command");
                throw;
            }
            if (is_first) program.err << "job " << id << ": " << error.what() << "; asking again" << std::endl;
        }
        pause.take(left_until(end));
    }
}

/// A run that another attempt of the job has made, or a job of this number on another cluster, says nothing of this
/// one.
[[nodiscard]] bool is_of(const RunRecord& run, const std::optional<SlurmJobState>& job, const Patience& patience) {
    constexpr std::int64_t most_clocks_differ_ns = 60'000'000'000;
    const auto began = parse_time(run.started_at);
    return began && *began >= patience.began_ns - most_clocks_differ_ns && (!job || run.slurm_restart >= job->restarts);
}

}  // namespace

std::optional<SlurmJobState> end_of(const Program& program, const std::string& id, const Patience& patience) {
    Pause pause;
    auto job = look_patiently(program, id, patience);
    while (job && !job->is_over() && !job->can_never_start()) {
        const auto left = left_until(patience.end);
        if (left <= 0ms) {
            throw Error{
                Errc::timed_out,
                fmt::format("job {} is {}{} after {}; it goes on: `squeue -j {}` shows it, `scancel {}` ends it", id,
                            job->state, job->reason == "None" ? "" : " (" + job->reason + ")",
                            format_duration(patience.limit), id, id)};
        }
        pause.take(left);
        job = look_patiently(program, id, patience);
    }
    return job;
}

int wait_for(const Program& program, const std::string& runs_dir, const std::string& id, const Patience& patience) {
    const auto job = end_of(program, id, patience);
    if (job && job->can_never_start()) {
        throw Error{Errc::failed, fmt::format("job {} waits for a job that has failed, and will never start; "
                                              "remove it with `scancel {}`",
                                              id, id)};
    }
    const std::string path = find_run_of_job(runs_dir, id);
    if (!path.empty()) {
        const RunRecord run = read_run(path);
        if (run.is_over() && run.state != "unknown" && is_of(run, job, patience)) {
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
