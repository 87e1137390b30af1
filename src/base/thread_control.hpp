#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock {

/// How many threads work on a payload: as many as are busy for the target's share of the time it takes. One that is not
/// is left asleep; after a while it is tried again, after ever longer ones if that was no use. A value.
class ThreadControl {
public:
    /// @param target  Share of the time of a job that a thread is to be busy, 0 to 1.
    ThreadControl(int limit, double target) noexcept : limit_{limit}, active_{limit}, target_{target} {}

    [[nodiscard]] int active() const noexcept { return active_; }

    /// @param utilization  Of the active threads in that job, 0 to 1. REQUIRES: they all had something to do.
    void job_done(double utilization) noexcept {
        mean_ += (utilization - mean_) / 8;
        if (++jobs_ < settling_jobs) return;
        if (mean_ < target_ - band && active_ > 1) {
            // Tried for nothing: longer until the next time.
            if (grown_) patience_ = std::min(2 * patience_, longest_patience);
            return change(-1);
        }
        if (jobs_ < patience_ || active_ == limit_ || mean_ < target_) return;
        change(1);
    }

private:
    static constexpr double band = 0.1;
    static constexpr std::uint64_t settling_jobs = 16;
    static constexpr std::uint64_t longest_patience = 1U << 16U;

    void change(int by) noexcept {
        active_ += by;
        grown_ = by > 0;
        jobs_ = 0;
        mean_ = 1;
    }

    int limit_;
    int active_;
    double target_;
    double mean_ = 1;         ///< Of the last jobs, the latest most.
    std::uint64_t jobs_ = 0;  ///< Since the last change.
    std::uint64_t patience_ = 64;
    bool grown_ = false;  ///< By the last change.
};

}  // namespace penstock
