#include "launch/job_world.hpp"

namespace penstock {

std::unique_ptr<JobWorld> join_mpi_job(std::chrono::milliseconds) {
    throw Error{Errc::unsupported,
                "this build has no MPI; install one (Debian: libopenmpi-dev) and configure with -DPENSTOCK_MPI=ON"};
}

bool has_mpi() noexcept {
    return false;
}

}  // namespace penstock
