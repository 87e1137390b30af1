#pragma once

#include <string>

namespace penstock {

/// Processes with the same text see the same process numbers: they share a kernel and a namespace of processes. Without
/// line ends. "unknown" where /proc does not say.
[[nodiscard]] std::string process_space();

}  // namespace penstock
