#include "launch/run_environment.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <unistd.h>

namespace penstock {
namespace {

constexpr std::array<std::string_view, 15> prefixes{"PENSTOCK_", "OMPI_MCA_", "MPICH_",       "UCX_",     "FI_",
                                                    "OMP_",      "KOKKOS_",   "CUDA_VISIBLE", "HDF5_",    "SLURM_JOB_",
                                                    "SLURM_N",   "SLURM_CPU", "SLURM_STEP_",  "GOMP_CPU", "MALLOC_"};
constexpr std::array<std::string_view, 5> secrets{"SECRET", "TOKEN", "PASS", "CREDENTIAL", "KEY"};

[[nodiscard]] bool matters(std::string_view name) noexcept {
    const auto begins = [&](std::string_view prefix) { return name.starts_with(prefix); };
    const auto speaks_of = [&](std::string_view word) { return name.find(word) != std::string_view::npos; };
    return std::any_of(prefixes.begin(), prefixes.end(), begins) &&
           std::none_of(secrets.begin(), secrets.end(), speaks_of);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> run_environment() {
    std::vector<std::pair<std::string, std::string>> found;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        const auto end = text.find('=');
        if (end == std::string_view::npos || !matters(text.substr(0, end))) continue;
        found.emplace_back(text.substr(0, end), text.substr(end + 1));
    }
    std::sort(found.begin(), found.end());
    return found;
}

}  // namespace penstock
