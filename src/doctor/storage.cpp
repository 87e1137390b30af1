#include <filesystem>

#include <fmt/format.h>

#include "base/format.hpp"
#include "base/quote.hpp"
#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

constexpr std::uint64_t mib = 1U << 20U;

/// The folder itself, or the one it would be made in.
[[nodiscard]] std::string existing(const System& system, const std::string& path) {
    std::filesystem::path folder{path};
    while (!system.exists(folder.string()) && folder.has_relative_path()) folder = folder.parent_path();
    return folder.string();
}

void check_space(const System& system, const std::string& folder, Findings& findings) {
    const auto space = system.probes().space(folder);
    if (!space || space->total_bytes == 0) return;
    if (space->free_bytes >= 1024 * mib) return;
    findings.add("run-directory-full",
                 fmt::format("{} free in {}", format_bytes(space->free_bytes), path_in_quotes(folder)),
                 {.severity = space->free_bytes < 16 * mib ? Severity::error : Severity::warning, .fix = {}});
}

void check_run_directory(const System& system, const Needs& needs, Findings& findings) {
    const std::string folder = existing(system, needs.runs_dir);
    const Mount mount = mount_of(system, folder);
    findings.add("run-directory", fmt::format("{} on {}", path_in_quotes(needs.runs_dir), mount.type));
    if (const std::string why = system.probes().try_file(folder); !why.empty()) {
        findings.add("run-directory-not-writable", path_in_quotes(folder) + ": " + why);
    } else {
        check_space(system, folder, findings);
    }
    const bool is_of_the_node = mount.type == "tmpfs" || mount.type == "overlay" || mount.type == "ramfs";
    if (is_of_the_node && has_several_nodes(system)) {
        findings.add("run-directory-not-shared", path_in_quotes(folder) + " is on " + mount.type + " of this node");
    }
    if (mount.type.starts_with("nfs") && !system.has_variable("HDF5_USE_FILE_LOCKING")) {
        findings.add("hdf5-locks-on-nfs", path_in_quotes(folder) + " is on " + mount.type);
    }
}

void check_temporary_folder(const System& system, Findings& findings) {
    constexpr std::size_t longest = 60;  // Open MPI adds some 40, and a socket's name has 107 at most
    const std::string folder = system.has_variable("TMPDIR") ? system.variable("TMPDIR") : "/tmp";
    if (!system.exists(folder)) {
        findings.add("tmpdir-unusable", "there is no folder " + path_in_quotes(folder));
        return;
    }
    if (const std::string why = system.probes().try_file(folder); !why.empty()) {
        findings.add("tmpdir-unusable", path_in_quotes(folder) + ": " + why);
        return;
    }
    if (folder.size() > longest) {
        findings.add("tmpdir-too-long", fmt::format("{} characters: {}", folder.size(), path_in_quotes(folder)));
    }
    if (const Mount mount = mount_of(system, folder); is_network_type(mount.type)) {
        findings.add("tmpdir-on-network", path_in_quotes(folder) + " is on " + mount.type);
    }
}

}  // namespace

void check_storage(const System& system, const Needs& needs, Findings& findings) {
    if (!needs.runs_dir.empty()) check_run_directory(system, needs, findings);
    check_temporary_folder(system, findings);
}

}  // namespace penstock::doctor
