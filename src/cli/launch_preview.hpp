#pragma once

#include <string>

#include "cli/launch_job.hpp"

namespace penstock::cli {

/// A table of the ranks of a job with their nodes and why they are there, as far as it is known before Slurm decides.
[[nodiscard]] std::string placement_text(const Launching& launching);

}  // namespace penstock::cli
