#include <penstock/error.hpp>

#include "launch/mpi_launch.hpp"

namespace penstock {

bool inside_mpi_job() noexcept {
    return false;
}

std::uint32_t mpi_job_size() {
    return 1;
}

bool speaks_for_job() noexcept {
    return true;
}

RunResult run_mpi(const Plan&, const Registry&, const RunOptions&) {
    throw Error{Errc::unsupported,
                "this build has no MPI; install one (Debian: libopenmpi-dev) and configure with -DPENSTOCK_MPI=ON"};
}

}  // namespace penstock
