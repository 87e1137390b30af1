#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace penstock::telemetry {

/// The times of which a value is known, of one metric of one GPU: tells what comes a second time.
///
/// Kept as runs of growing times, eight bytes a value; each streamer that has a part of the file appends to one of
/// them.
class Series {
public:
    /// @return false if that time is there already.
    bool add(std::int64_t time_ns) {
        Run* nearest = nullptr;
        for (Run& run : runs_) {
            if (run.back() < time_ns) {
                if (nearest == nullptr || run.back() > nearest->back()) nearest = &run;
            } else if (run.front() <= time_ns && std::binary_search(run.begin(), run.end(), time_ns)) {
                return false;
            }
        }
        if (nearest != nullptr) {
            nearest->push_back(time_ns);
            return true;
        }
        runs_.push_back({time_ns});
        // Of what comes in no order at all there are few runs too, each more than twice as long as the next one.
        while (runs_.size() > 1 && runs_[runs_.size() - 2].size() <= 2 * runs_.back().size()) merge_last_two();
        return true;
    }

private:
    using Run = std::vector<std::int64_t>;

    void merge_last_two() {
        const Run last = std::move(runs_.back());
        runs_.pop_back();
        Run& run = runs_.back();
        const auto middle = run.insert(run.end(), last.begin(), last.end());
        std::inplace_merge(run.begin(), middle, run.end());
    }

    std::vector<Run> runs_;
};

}  // namespace penstock::telemetry
