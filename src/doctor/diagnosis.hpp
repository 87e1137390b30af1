#pragma once

#include <cstdint>
#include <string>

#include "doctor/checks.hpp"

namespace penstock::doctor {

/// What a run of this program would need.
/// @param ranks  Processes; 0: as many as the job that this process is in has, if it is in one.
[[nodiscard]] Needs needs_of(const System& system, std::uint32_t ranks, const std::string& runs_dir);

/// All checks, in the order of the catalogue's subjects. Takes some milliseconds, and at most a second longer where
/// Slurm is slow to answer.
[[nodiscard]] Findings examine(const System& system, const Needs& needs);

}  // namespace penstock::doctor
