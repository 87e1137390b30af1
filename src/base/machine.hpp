#pragma once

#include <string>
#include <vector>

namespace penstock {

/// A part of the memory and the cores that are close to it.
struct NumaNode {
    int number = 0;                            ///< As the system numbers it.
    std::vector<std::vector<int>> cores = {};  ///< The processors of each core: several where it runs several threads.
};

/// The NUMA nodes of a machine whose cores may be used, by number.
struct Machine {
    std::vector<NumaNode> nodes;

    /// As hwloc sees it. @param cpus  Processors that may be used.
    /// @throws Error{unsupported} if built without hwloc, Error{failed} if hwloc cannot tell.
    [[nodiscard]] static Machine here(const std::vector<int>& cpus);
    /// A machine that does not exist, for tests: "numa:2 core:4 pu:2". @throws as `here`.
    [[nodiscard]] static Machine described(const std::string& synthetic);
};

}  // namespace penstock
