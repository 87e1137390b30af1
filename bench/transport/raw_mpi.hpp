#pragma once

#include <cstddef>

#include "limits/limits.hpp"

/// What MPI does between the two ranks of this job with the least code that does it: the loops of the OSU
/// micro-benchmarks (osu_bw, osu_latency). Collective; the first rank gets the result.
namespace penstock::bench {

/// A window of sends into a window of receives, answered by a word when all are there.
[[nodiscard]] double raw_mpi_bandwidth(std::size_t size_bytes, double seconds);

/// Half round trips.
[[nodiscard]] Latency raw_mpi_latency(std::size_t size_bytes, double seconds);

}  // namespace penstock::bench
