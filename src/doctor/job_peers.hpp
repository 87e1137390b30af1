#pragma once

#include <functional>
#include <string>
#include <vector>

#include <penstock/runtime.hpp>

#include "doctor/peers.hpp"
#include "doctor/tuner.hpp"

namespace penstock::doctor {

struct JobAnswer {
    PeerMatrix matrix;
    std::vector<std::string> nodes;  ///< What one rank of each host said, in the order of ranks.
};

/// Measures the pairs of the job that this process is a rank of. Collective.
/// @param launch   How the ranks find each other.
/// @param folder   Of a job over TCP: all ranks see it.
/// @param examine  Called in the first rank of each host before that.
/// @param tell     Called in rank 0 with the answers; what it returns is the exit code of rank 0, the others' is 0.
/// When a rank does not come to the end of the job, the job is aborted after that.
/// @throws Error{unsupported} outside a job, and in a build that has no such thing.
[[nodiscard]] int measure_job(Launch launch, const std::string& folder, const PeerOptions& options,
                              const std::function<std::string()>& examine,
                              const std::function<int(const JobAnswer&)>& tell);

/// Measures the thresholds of transports in the job that this process is a rank of. Collective.
/// @param tell  Called in rank 0 with the answer; what it returns is the exit code of rank 0, the others' is 0.
/// @throws Error{unsupported} outside a job, and as `tune` does.
[[nodiscard]] int tune_job(const TuningOptions& options, const std::function<int(const TuningAnswer&)>& tell);

}  // namespace penstock::doctor
