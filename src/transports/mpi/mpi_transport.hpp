#pragma once

#include <memory>

#include "memory/arena.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// Frames and blobs over MPI messages, on whatever the site's MPI runs on.
///
/// Used by the thread that initialised MPI; gone before MPI is finalised. What a peer may have on its way to us is
/// bounded by its buffers, as a send completes only when its message is matched here. Collective over all ranks of the
/// job. Null outside an MPI job. @throws Error{timed_out} if some ranks do not take part.
[[nodiscard]] std::unique_ptr<Transport> make_mpi_transport(const Arena& arena);

}  // namespace penstock
