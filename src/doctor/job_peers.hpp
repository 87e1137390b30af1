#pragma once

#include <functional>

#include "doctor/peers.hpp"

namespace penstock::doctor {

/// Measures the pairs of the MPI job that this process is a rank of. Collective.
/// @param tell  Called in rank 0 with the figures; what it returns is the exit code of rank 0, the others' is 0. When a
/// rank does not come to the end of the job, the job is aborted after that.
/// @throws Error{unsupported} outside an MPI job and in a build without MPI.
[[nodiscard]] int measure_job(const PeerOptions& options, const std::function<int(const PeerMatrix&)>& tell);

}  // namespace penstock::doctor
