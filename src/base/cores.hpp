#pragma once

#include <string>
#include <vector>

namespace penstock {

/// Processors that this process may run on, as the system numbers them, ascending. Never empty.
[[nodiscard]] std::vector<int> usable_cpus();
/// How many those are.
[[nodiscard]] unsigned usable_cores() noexcept;

/// Whether the kernel knows several NUMA nodes. Cheap, unlike reading the topology.
[[nodiscard]] bool has_several_numa_nodes();

/// As the kernel writes them: "0-3,8". @param cpus  Ascending.
[[nodiscard]] std::string cpu_list(const std::vector<int>& cpus);

}  // namespace penstock
