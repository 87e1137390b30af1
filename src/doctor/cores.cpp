#include <algorithm>

#include <fmt/format.h>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

constexpr std::string_view cpus_folder = "/sys/devices/system/cpu/";

[[nodiscard]] std::vector<std::string> governors(const System& system) {
    std::vector<std::string> found;
    for (const std::string& name : system.list(cpus_folder)) {
        const std::string governor = system.text(std::string{cpus_folder} + name + "/cpufreq/scaling_governor");
        if (!governor.empty()) found.push_back(governor);
    }
    return found;
}

void check_speed(const System& system, Findings& findings) {
    const auto each = governors(system);
    const auto slow = std::count(each.begin(), each.end(), "powersave");
    // intel_pstate's governor of that name raises the clock when there is work.
    const std::string driver = system.text(std::string{cpus_folder} + "cpu0/cpufreq/scaling_driver");
    if (slow > 0) {
        findings.add("powersave-governor", fmt::format("{} of {} processors, driver {}", slow, each.size(),
                                                       driver.empty() ? "unknown" : driver));
    }
    if (system.text(std::string{cpus_folder} + "intel_pstate/no_turbo") == "1" ||
        system.text(std::string{cpus_folder} + "cpufreq/boost") == "0") {
        findings.add("turbo-off", "the processors do not go above their base clock");
    }
    if (system.text("/proc/sys/kernel/numa_balancing") == "1" &&
        count_list(system.text("/sys/devices/system/node/online")) > 1) {
        findings.add("numa-balancing",
                     "kernel.numa_balancing is 1, on " + system.text("/sys/devices/system/node/online"));
    }
}

}  // namespace

void check_cores(const System& system, const Needs& needs, Findings& findings) {
    const std::size_t usable = count_list(system.status("Cpus_allowed_list"));
    const std::size_t online = std::max(usable, count_list(system.text(std::string{cpus_folder} + "online")));
    const auto quota = group_cores(system);
    findings.add("cores", fmt::format("{} of {} processors may be used", usable, online));
    const bool is_limited = quota && *quota < static_cast<double>(usable);
    if (is_limited) findings.add("cgroup-cpu-limit", fmt::format("time of {:.3g} processors for {}", *quota, usable));
    // Each rank of an MPI job may have cores of its own, and others have more of the node.
    const bool is_rank =
        system.has_variable("OMPI_COMM_WORLD_LOCAL_SIZE") || system.has_variable("SLURM_STEP_NUM_TASKS");
    const double cores = is_rank ? static_cast<double>(online) : is_limited ? *quota : static_cast<double>(usable);
    if (usable == 1 && online > 1) {
        findings.add("one-core", fmt::format("bound to processor {} of {}", system.status("Cpus_allowed_list"), online),
                     {.severity = is_rank ? Severity::note : Severity::warning, .fix = {}});
    } else if (usable > 0 && static_cast<double>(needs.ranks_here) > cores) {
        findings.add("cores-fewer-than-ranks",
                     fmt::format("{} processes on this node, {:.3g} processors", needs.ranks_here, cores));
    }
    check_speed(system, findings);
}

void check_processes(const System& system, const Needs& needs, Findings& findings) {
    constexpr std::uint64_t few = 64;
    const std::uint64_t needed = needs.ranks_here;
    const auto severity = [&](std::uint64_t there, std::uint64_t wanted) {
        return there < wanted ? Severity::error : Severity::warning;
    };
    if (const auto left = group_limit(system, "pids.max", "pids.current"); left && *left < std::max(needed * 4, few)) {
        findings.add("cgroup-pids-limit", fmt::format("{} more processes and threads allowed", *left),
                     {.severity = severity(*left, std::max<std::uint64_t>(needed, 4)), .fix = {}});
    }
    if (const auto most = system.limit("Max processes");
        most && *most < std::max(needed * 4, few) && system.user() != 0) {
        findings.add("process-limit", fmt::format("{} processes and threads of this user", *most),
                     {.severity = severity(*most, std::max<std::uint64_t>(needed, 4)), .fix = {}});
    }
    const std::uint64_t files = 32 + 8 * needed;
    if (const auto most = system.limit("Max open files"); most && *most < std::max<std::uint64_t>(files, 1024)) {
        findings.add("open-files-limit", fmt::format("{} open files for each process", *most),
                     {.severity = severity(*most, files), .fix = {}});
    }
}

}  // namespace penstock::doctor
