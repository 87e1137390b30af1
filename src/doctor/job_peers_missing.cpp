#include <penstock/error.hpp>

#include "doctor/job_peers.hpp"

namespace penstock::doctor {

int measure_job(const PeerOptions&, const std::function<std::string()>&, const std::function<int(const JobAnswer&)>&) {
    throw Error{Errc::unsupported,
                "--peers measures the ranks of an MPI job, and this build has no MPI; install one (Debian: "
                "libopenmpi-dev) and configure with -DPENSTOCK_MPI=ON"};
}

}  // namespace penstock::doctor
