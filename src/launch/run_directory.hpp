#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/plan.hpp>

namespace penstock {

/// Replaces a file as a whole: readers see the old or the new text, never a part. 0600.
/// @param otherwise  What to do where it cannot be written and space is not what lacks.
/// @throws Error{invalid_input} if it cannot be written, Error{exhausted} if there is no room for it.
void replace_file(const std::string& path, std::string_view text, std::string_view otherwise);

/// Where one process of a run lives, for the peer files.
struct HostInfo {
    std::string host;
    std::string address;  ///< IPv4 or IPv6 of the host, "127.0.0.1" if it has no other.
    std::int64_t pid = 0;
    std::string cpus = {};  ///< Processors it is bound to, "0-3,8"; empty if it is not.
    std::string numa = {};  ///< NUMA nodes those are of.
    std::string gpu = {};   ///< That it has to itself, as its variable calls it; empty if it has none.

    [[nodiscard]] std::string encode() const;
    /// @throws Error{internal} for a text that `encode` did not make.
    [[nodiscard]] static HostInfo decode(const std::string& text);
    [[nodiscard]] static HostInfo here();
};

/// A run's folder: everything that can be known about the run, on a file system that others may share.
/// Folders are 0700 and files 0600; status files are replaced atomically.
class RunDirectory {
public:
    /// Makes `<runs_dir>/<name>-<time>-<random>/`.
    /// @throws Error{invalid_input} if it cannot be made there, Error{exhausted} if the disk is full.
    [[nodiscard]] static RunDirectory create(const std::string& runs_dir, const std::string& name);
    /// The same folder, seen from another process of the run.
    explicit RunDirectory(std::string path) : path_{std::move(path)} {}

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string results() const { return path_ + "/results"; }
    [[nodiscard]] std::string log_of(std::string_view label) const;

    /// `replace_file` for one of the run's own.
    void replace(std::string_view name, std::string_view text) const;

    /// run.json: when the run started, and which process of which host sees to it. Called by that process.
    void write_start(const Plan& plan, std::string_view launched_by) const;

    /// peers/<stage>.<i>.json for every instance.
    /// @param hosts       By rank.
    /// @param transports  By rank: how the coordinator reaches it.
    void write_peers(const Plan& plan, const std::vector<HostInfo>& hosts,
                     const std::vector<std::string>& transports) const;

private:
    std::string path_;
};

}  // namespace penstock
