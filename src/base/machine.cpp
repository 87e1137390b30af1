#include "base/machine.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include <hwloc.h>

#include <penstock/error.hpp>

namespace penstock {
namespace {

struct Destroy {
    void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, Destroy>;

[[noreturn]] void fail(const char* doing) {
    throw Error{Errc::failed, std::string{"hwloc cannot "} + doing + ": " + std::strerror(errno)};
}

[[nodiscard]] Topology fresh_topology() {
    hwloc_topology_t topology = nullptr;
    if (hwloc_topology_init(&topology) != 0) fail("start");
    return Topology{topology};
}

/// Those processors of an object that nobody before has had.
[[nodiscard]] std::vector<int> take(hwloc_const_bitmap_t cpus, std::set<int>& free) {
    std::vector<int> taken;
    for (int cpu = hwloc_bitmap_first(cpus); cpu >= 0; cpu = hwloc_bitmap_next(cpus, cpu)) {
        if (free.erase(cpu) != 0) taken.push_back(cpu);
    }
    return taken;
}

[[nodiscard]] Machine read(hwloc_topology_t topology, std::set<int> free) {
    Machine machine;
    hwloc_obj_t node = nullptr;
    while ((node = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_NUMANODE, node)) != nullptr) {
        NumaNode found{.number = static_cast<int>(node->os_index)};
        // Where the system does not tell cores, each processor is one.
        const bool has_cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0;
        const hwloc_obj_type_t type = has_cores ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
        hwloc_obj_t core = nullptr;
        while ((core = hwloc_get_next_obj_inside_cpuset_by_type(topology, node->cpuset, type, core)) != nullptr) {
            if (auto cpus = take(core->cpuset, free); !cpus.empty()) found.cores.push_back(std::move(cpus));
        }
        // Memory without cores of its own is no place to run.
        if (!found.cores.empty()) machine.nodes.push_back(std::move(found));
    }
    std::ranges::sort(machine.nodes, {}, &NumaNode::number);
    return machine;
}

}  // namespace

Machine Machine::here(const std::vector<int>& cpus) {
    const Topology topology = fresh_topology();
    // Devices are of no interest, and looking for them can take long.
    hwloc_topology_set_io_types_filter(topology.get(), HWLOC_TYPE_FILTER_KEEP_NONE);
    for (const char* component : {"cuda", "nvml", "rsmi", "levelzero", "opencl", "gl", "pci"}) {
        hwloc_topology_set_components(topology.get(), HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, component);
    }
    // Others' binding of this process does not make the machine smaller: `cpus` say what may be used.
    hwloc_topology_set_flags(topology.get(), HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load(topology.get()) != 0) fail("read this machine's topology");
    Machine machine = read(topology.get(), {cpus.begin(), cpus.end()});
    if (machine.nodes.empty()) throw Error{Errc::failed, "hwloc knows none of the processors that may be used"};
    return machine;
}

Machine Machine::described(const std::string& synthetic) {
    const Topology topology = fresh_topology();
    if (hwloc_topology_set_synthetic(topology.get(), synthetic.c_str()) != 0) fail("understand the description");
    if (hwloc_topology_load(topology.get()) != 0) fail("make the machine");
    std::set<int> all;
    hwloc_const_bitmap_t cpus = hwloc_topology_get_topology_cpuset(topology.get());
    for (int cpu = hwloc_bitmap_first(cpus); cpu >= 0; cpu = hwloc_bitmap_next(cpus, cpu)) all.insert(cpu);
    return read(topology.get(), std::move(all));
}

}  // namespace penstock
