#pragma once

#include <memory>
#include <string>

#include "memory/arena.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// A fetch, which is a message each way, costs less than a copy from about the inline size on.
inline constexpr ThresholdRange mpi_thresholds{
    .built_in = {.inline_bytes = 16U << 10U, .coalesced_bytes = 32U << 10U, .chunk_bytes = 0, .in_flight = 4},
    .least = {.inline_bytes = 256, .coalesced_bytes = 512, .chunk_bytes = 0, .in_flight = 1},
    .most = {.inline_bytes = largest_inline_bytes, .coalesced_bytes = 128U << 10U, .chunk_bytes = 0, .in_flight = 16}};

/// In words: the version of MPI and the settings that say what it runs on. Empty outside an MPI job.
[[nodiscard]] std::string mpi_description();

/// Frames and blobs over MPI messages, on whatever the site's MPI runs on.
///
/// Used by the thread that initialised MPI; gone before MPI is finalised. What a peer may have on its way to us is
/// bounded by its buffers, as a send completes only when its message is matched here. Collective over all ranks of the
/// job. Null outside an MPI job. @throws Error{timed_out} if some ranks do not take part.
[[nodiscard]] std::unique_ptr<Transport> make_mpi_transport(const Arena& arena);

}  // namespace penstock
