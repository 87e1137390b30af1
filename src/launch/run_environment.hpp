#pragma once

#include <string>
#include <utility>
#include <vector>

namespace penstock {

/// The variables of the environment that change how a run goes (of penstock, MPI, the fabrics, OpenMP, the job
/// scheduler), by name. Those whose name speaks of a secret are left out.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> run_environment();

}  // namespace penstock
