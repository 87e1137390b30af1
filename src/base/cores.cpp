#include "base/cores.hpp"

#include <fstream>

#include <sched.h>

namespace penstock {
namespace {

[[nodiscard]] cpu_set_t affinity() noexcept {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) CPU_SET(0, &set);
    return set;
}

}  // namespace

std::vector<int> usable_cpus() {
    const cpu_set_t set = affinity();
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
    return cpus;
}

unsigned usable_cores() noexcept {
    const cpu_set_t set = affinity();
    return static_cast<unsigned>(CPU_COUNT(&set));
}

bool has_several_numa_nodes() {
    std::ifstream file{"/sys/devices/system/node/online"};
    std::string nodes;  // "0", "0-1", "0,2"
    return std::getline(file, nodes) && nodes.find_first_of("-,") != std::string::npos;
}

std::string cpu_list(const std::vector<int>& cpus) {
    std::string text;
    for (auto first = cpus.begin(); first != cpus.end();) {
        auto last = first;
        while (last + 1 != cpus.end() && last[1] == last[0] + 1) ++last;
        text += (text.empty() ? "" : ",") + std::to_string(*first);
        if (last != first) text += "-" + std::to_string(*last);
        first = last + 1;
    }
    return text;
}

}  // namespace penstock
