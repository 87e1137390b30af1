#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/format.hpp"
#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

constexpr std::uint64_t mib = 1U << 20U;
constexpr std::uint64_t needed_bytes = 64 * mib;
constexpr std::string_view folder = "/dev/shm";

[[nodiscard]] bool is_process(const System& system, std::string_view text) {
    return number_of(text) && system.exists("/proc/" + std::string{text});
}

/// Whether a communication library leaves files of that name behind when it is killed.
[[nodiscard]] bool is_of_a_library(std::string_view name) {
    for (const std::string_view prefix : {"vader_segment.", "sm_segment.", "osc_sm.", "psm2_shm.", "ucx_shm_", "cm_"}) {
        if (name.starts_with(prefix)) return true;
    }
    const auto colon = name.find(':');  // libfabric: "<process>:0:0"
    return colon != std::string_view::npos && number_of(name.substr(0, colon)).has_value();
}

/// The files there that some process of this user has mapped. Others' maps cannot be read, nor are they asked for.
[[nodiscard]] std::set<std::string> mapped_names(const System& system) {
    std::set<std::string> names;
    const std::string place = std::string{folder} + "/";
    for (const std::string& process : system.list("/proc")) {
        if (!number_of(process)) continue;
        const std::string maps = system.text("/proc/" + process + "/maps");
        for (auto at = maps.find(place); at != std::string::npos; at = maps.find(place, at + 1)) {
            const auto start = at + place.size();
            names.insert(maps.substr(start, maps.find_first_of(" \n", start) - start));
        }
    }
    return names;
}

void check_leftovers(const System& system, Findings& findings) {
    std::vector<std::string> candidates;
    std::uint64_t bytes = 0;
    for (const std::string& name : system.list(folder)) {
        const auto file = system.owned(std::string{folder} + "/" + name);
        const bool is_mine = file && file->user == system.user();
        if (is_mine && is_of_a_library(name) && !is_process(system, name.substr(0, name.find(':')))) {
            candidates.push_back(name);
        }
    }
    if (candidates.empty()) return;
    const auto mapped = mapped_names(system);
    std::erase_if(candidates, [&](const std::string& name) { return mapped.contains(name); });
    if (candidates.empty()) return;
    for (const std::string& name : candidates) bytes += system.owned(std::string{folder} + "/" + name)->bytes;
    std::string command = "rm --";
    for (const std::string& name : candidates) command += " " + std::string{folder} + "/" + name;
    const bool are_few = candidates.size() <= 4;
    findings.add("stale-shared-memory",
                 fmt::format("{} files, {}: {}", candidates.size(), format_bytes(bytes), joined(candidates, 3)),
                 {.severity = Severity::ok, .fix = are_few ? command : ""});
}

}  // namespace

void check_shared_memory(const System& system, const Needs&, Findings& findings) {
    const std::string where{folder};
    if (!system.exists(where)) {
        findings.add("shm-missing", "there is no /dev/shm");
        return;
    }
    const Mount mount = mount_of(system, where);
    if (mount.type != "tmpfs" && mount.type != "ramfs") findings.add("shm-no-memory", "/dev/shm is on " + mount.type);
    if (mount.read_only || !system.probes().may_read_and_write(where)) {
        findings.add("shm-not-writable", mount.read_only ? "/dev/shm is mounted read-only" : "no permission to write");
    }
    const auto space = system.probes().space(where);
    if (space) {
        findings.add("shm", fmt::format("{} of {} free in /dev/shm", format_bytes(space->free_bytes),
                                        format_bytes(space->total_bytes)));
        if (space->total_bytes < needed_bytes) {
            findings.add("shm-small", "/dev/shm has " + format_bytes(space->total_bytes));
        } else if (space->free_bytes < needed_bytes) {
            findings.add("shm-full", fmt::format("{} of {} are free", format_bytes(space->free_bytes),
                                                 format_bytes(space->total_bytes)));
        }
    }
    check_leftovers(system, findings);
}

}  // namespace penstock::doctor
