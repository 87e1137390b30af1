#include "launch/pmix_world.hpp"

namespace penstock {

std::unique_ptr<JobWorld> join_pmix_job(std::chrono::milliseconds) {
    throw Error{Errc::unsupported,
                "this build has no PMIx; install it (Debian: libpmix-dev) and configure with -DPENSTOCK_PMIX=ON"};
}

void meet_by_pmix(std::chrono::milliseconds) {}

bool has_pmix() noexcept {
    return false;
}

}  // namespace penstock
