#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::doctor {

struct Space {
    std::uint64_t total_bytes = 0;
    std::uint64_t free_bytes = 0;  ///< For users.
};

/// What the kernel tells in no file. Paths are those of the machine.
struct Probes {
    std::function<std::optional<Space>(const std::string& path)> space;
    std::function<bool(const std::string& path)> may_read_and_write;
    /// Makes a file in the folder, writes to it and removes it. @return why that fails, or nothing.
    std::function<std::string(const std::string& folder)> try_file;
    /// Makes a file in memory as arenas are. @return why that fails, or nothing.
    std::function<std::string()> try_memory_file;
    /// What `srun --mpi=list` says; nothing if it does not answer.
    std::function<std::optional<std::string>()> slurm_mpi_types;

    [[nodiscard]] static Probes real();
};

/// The machine as a process sees it: files, environment and a few probes. Tests put a folder and words there instead.
class System {
public:
    System(std::string root, std::map<std::string, std::string, std::less<>> environment, Probes probes);
    [[nodiscard]] static System here();

    /// The beginning of the file, at most a MiB, without the newline at its end; nothing if it cannot be read.
    [[nodiscard]] std::optional<std::string> read(std::string_view path) const;
    /// The same, empty if it cannot be read.
    [[nodiscard]] std::string text(std::string_view path) const { return read(path).value_or(""); }
    /// The number a file begins with.
    [[nodiscard]] std::optional<std::uint64_t> number(std::string_view path) const;
    [[nodiscard]] std::vector<std::string> lines(std::string_view path) const;
    /// Names in a folder, sorted; none if there is no such folder.
    [[nodiscard]] std::vector<std::string> list(std::string_view path) const;
    [[nodiscard]] bool exists(std::string_view path) const;
    /// Where the path leads when its links are followed.
    [[nodiscard]] std::string resolve(std::string_view path) const;
    /// Whose file it is, and its size.
    struct Owned {
        std::uint32_t user = 0;
        std::uint64_t bytes = 0;
    };
    [[nodiscard]] std::optional<Owned> owned(std::string_view path) const;

    /// Empty if it is not set.
    [[nodiscard]] std::string variable(std::string_view name) const;
    [[nodiscard]] bool has_variable(std::string_view name) const { return environment_.contains(name); }
    /// Its value as a number.
    [[nodiscard]] std::optional<std::uint64_t> count(std::string_view variable) const;

    /// As /proc/self/limits calls it, "Max locked memory". Nothing if there is no limit.
    [[nodiscard]] std::optional<std::uint64_t> limit(std::string_view name) const;
    /// A line of /proc/self/status, without its name.
    [[nodiscard]] std::string status(std::string_view name) const;
    [[nodiscard]] std::uint32_t user() const;
    /// The places of a program on the PATH, links followed, each once.
    [[nodiscard]] std::vector<std::string> programs(std::string_view name) const;

    [[nodiscard]] const Probes& probes() const noexcept { return probes_; }

private:
    [[nodiscard]] std::string at(std::string_view path) const { return root_ + std::string{path}; }

    std::string root_;  // without a slash at its end
    std::map<std::string, std::string, std::less<>> environment_;
    Probes probes_;
};

/// The file system that a path lies on.
struct Mount {
    std::string point;
    std::string type;  ///< "ext4", "nfs4", ...
    bool read_only = false;
};
[[nodiscard]] Mount mount_of(const System& system, const std::string& path);
/// Shared between nodes.
[[nodiscard]] bool is_network_type(std::string_view type) noexcept;

// Of texts that the kernel writes.
[[nodiscard]] std::vector<std::string> words_of(std::string_view text);
[[nodiscard]] std::vector<std::string> parts_of(std::string_view text, char separator);
[[nodiscard]] std::optional<std::uint64_t> number_of(std::string_view text) noexcept;

}  // namespace penstock::doctor
