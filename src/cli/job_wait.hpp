#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "cli/command.hpp"
#include "launch/slurm.hpp"

namespace penstock::cli {

/// How long somebody waits for the jobs of a launch, all together.
struct Patience {
    /// @param at_most  0 for as long as it takes.
    explicit Patience(std::chrono::milliseconds at_most)
        : limit{at_most}, end{at_most.count() > 0 ? deadline_in(at_most) : SteadyClock::time_point::max()} {}

    std::chrono::milliseconds limit;
    SteadyClock::time_point end;
    std::int64_t began_ns = static_cast<std::int64_t>(wall_ns());
};

/// Waits until a job is over or can never start. @return nothing if Slurm no longer knows it.
/// @throws Error{timed_out} when the patience is over; the job goes on. Error{disconnected} if Slurm does not answer
/// for ten minutes.
[[nodiscard]] std::optional<SlurmJobState> end_of(const Program& program, const std::string& id,
                                                  const Patience& patience);

/// Waits for the end of a job and says how its run has ended. @return the exit code of the run.
/// @throws Error{failed} for a job that can never start, Error{disconnected} where neither Slurm nor a run directory
/// knows of it, and as `end_of`.
[[nodiscard]] int wait_for(const Program& program, const std::string& runs_dir, const std::string& id,
                           const Patience& patience);

}  // namespace penstock::cli
