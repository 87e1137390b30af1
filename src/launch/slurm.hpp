#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <penstock/error.hpp>

#include "base/clock.hpp"

namespace penstock {

/// A job as Slurm knows it.
struct SlurmJobState {
    std::string state;   ///< "PENDING", "RUNNING", "COMPLETED", "TIMEOUT", ...
    std::string reason;  ///< Why it waits, or ended so.
    int exit_code = 0;   ///< Of its script.
    int restarts = 0;
    std::string nodes;

    /// It will not run again.
    [[nodiscard]] bool is_over() const noexcept;
    /// It waits for what can never be.
    [[nodiscard]] bool can_never_start() const noexcept;
};

[[nodiscard]] bool is_job_id(std::string_view text) noexcept;

/// Whether this machine can submit jobs.
[[nodiscard]] bool has_slurm();

/// @return the id of the job.
/// @throws Error with what sbatch says, of the kind that it means.
[[nodiscard]] std::string submit_job(const std::string& script);

/// Ends a job, or sees that it never starts. @throws Error if Slurm does not answer.
void cancel_job(const std::string& id);

/// When and where the job would start, in Slurm's words. @throws Error as `submit_job`.
[[nodiscard]] std::string try_job(const std::string& script);

/// Nothing if Slurm does not know the job (any more). @throws Error if Slurm does not answer.
[[nodiscard]] std::optional<SlurmJobState> look_at_job(const std::string& id);

/// The number of the part of a heterogeneous job that has the node; nothing for any other job.
[[nodiscard]] std::optional<int> part_of_job(const std::string& id, const std::string& node);

/// One start of a job.
struct SlurmAttempt {
    std::string_view job;
    std::string_view cluster;
    int restart = 0;
};
/// What Slurm says of jobs, kept for a while: a controller serves all users, and whoever looks at runs again and again
/// need not ask it each time. One that does not answer is left alone for longer.
class SlurmAnswers {
public:
    static constexpr std::chrono::seconds kept{5};
    static constexpr std::chrono::seconds left_alone{60};

    /// How it ended, "has ended (TIMEOUT)" or "was requeued"; empty if it goes on, or if this machine cannot tell.
    [[nodiscard]] std::string end_of(const SlurmAttempt& attempt) noexcept;

private:
    struct Answer {
        std::string end;
        SteadyClock::time_point until;
    };
    [[nodiscard]] std::string ask(const SlurmAttempt& attempt);

    std::map<std::string, Answer> answers_;  // by job, restart and cluster
    std::optional<std::string> cluster_;     // that this machine belongs to
    SteadyClock::time_point asked_again_at_{};
};

// For the tests:
/// The error behind a refusal of sbatch.
[[nodiscard]] Errc errc_of_sbatch(std::string_view message) noexcept;
/// A line of `squeue`. Nothing if it is none.
[[nodiscard]] std::optional<SlurmJobState> parse_job_state(std::string_view line);

}  // namespace penstock
