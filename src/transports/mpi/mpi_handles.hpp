#pragma once

#include <string>

#include <mpi.h>

#include <penstock/error.hpp>

#include "base/unique_handle.hpp"

namespace penstock::mpi {

/// MPI's own words for a status.
[[nodiscard]] std::string text_of(int status);

inline void check(int status, std::string_view call, Where where = Where::here()) {
    if (status != MPI_SUCCESS) throw Error{Errc::disconnected, std::string{call} + ": " + text_of(status), where};
}

struct CommTraits {
    using Handle = MPI_Comm;
    static Handle null() noexcept { return MPI_COMM_NULL; }
    static void release(Handle handle) noexcept { MPI_Comm_free(&handle); }
};
using Comm = UniqueHandle<CommTraits>;

/// A communicator of our own with all ranks in it, whose errors are returned. Collective.
[[nodiscard]] Comm duplicate_world();

}  // namespace penstock::mpi
