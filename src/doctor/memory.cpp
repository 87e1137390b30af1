#include <algorithm>

#include <fmt/format.h>

#include "base/format.hpp"
#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

constexpr std::uint64_t mib = 1U << 20U;
constexpr std::uint64_t little = 1024 * mib;

/// A line of /proc/meminfo.
[[nodiscard]] std::optional<std::uint64_t> memory_bytes(const System& system, std::string_view name) {
    for (const std::string& line : system.lines("/proc/meminfo")) {
        const auto words = words_of(line);
        if (words.size() > 1 && words[0] == name) {
            if (const auto kib = number_of(words[1])) return *kib * 1024;
        }
    }
    return std::nullopt;
}

void check_limits(const System& system, const Needs& needs, Findings& findings) {
    const auto locked = system.limit("Max locked memory");
    if (locked && *locked < needs.arena_bytes) {
        // Slurm takes the limits of the login node to the nodes of a job: worth saying where no device is, too.
        const bool has_device = !rdma_devices(system).empty() || !efa_cards(system).empty();
        findings.add("memlock-limit",
                     fmt::format("{} may be locked, {} is the arena of an instance", format_bytes(*locked),
                                 format_bytes(needs.arena_bytes)),
                     {.severity = has_device ? Severity::error : Severity::note, .fix = {}});
    }
    if (const auto mapped = system.limit("Max address space")) {
        const std::uint64_t needed = (std::max<std::uint64_t>(needs.ranks_here, 4) + 1) * needs.arena_bytes;
        findings.add("address-space-limit",
                     fmt::format("{} for each process; the arenas of a node need {}", format_bytes(*mapped),
                                 format_bytes(needed)),
                     {.severity = *mapped < needed ? Severity::error : Severity::note, .fix = {}});
    }
}

void check_pages(const System& system, Findings& findings) {
    if (system.text("/proc/sys/vm/overcommit_memory") == "2") {
        findings.add("overcommit-strict", "vm.overcommit_memory is 2");
    }
    if (system.text("/sys/kernel/mm/transparent_hugepage/enabled").find("[never]") != std::string::npos) {
        findings.add("huge-pages-off", "/sys/kernel/mm/transparent_hugepage/enabled is never");
    }
    if (kernel_of(system) < Kernel{6, 1} && kernel_of(system) >= Kernel{5, 3}) {
        findings.add("kernel-without-huge-arenas", "Linux " + system.text("/proc/sys/kernel/osrelease"));
    }
}

}  // namespace

void check_memory(const System& system, const Needs& needs, Findings& findings) {
    const auto total = memory_bytes(system, "MemTotal:");
    const auto available = memory_bytes(system, "MemAvailable:");
    if (total && available) {
        findings.add("memory", fmt::format("{} of {} available", format_bytes(*available), format_bytes(*total)));
        if (*available < little) findings.add("memory-low", format_bytes(*available) + " available");
    }
    const auto group = group_limit(system, "memory.max", "memory.current");
    if (group && *group < available.value_or(UINT64_MAX)) {
        const std::uint64_t wanted = std::max(little, needs.ranks_here * 64 * mib);
        findings.add("cgroup-memory-limit", format_bytes(*group) + " are left of what the control group allows",
                     {.severity = *group < wanted ? Severity::warning : Severity::note, .fix = {}});
    }
    check_limits(system, needs, findings);
    check_pages(system, findings);
    if (const std::string why = system.probes().try_memory_file(); !why.empty()) {
        const bool by_sysctl = system.text("/proc/sys/vm/memfd_noexec") == "2";
        const bool is_filtered = !system.status("Seccomp").empty() && system.status("Seccomp") != "0";
        findings.add("memfd-refused",
                     "memfd_create: " + why +
                         (by_sysctl     ? "; vm.memfd_noexec is 2"
                          : is_filtered ? "; a seccomp filter is in place"
                                        : ""),
                     {.severity = Severity::ok,
                      .fix = by_sysctl     ? "sysctl vm.memfd_noexec=1 (as root)"
                             : is_filtered ? "let the container's seccomp profile allow memfd_create"
                                           : ""});
    }
}

}  // namespace penstock::doctor
