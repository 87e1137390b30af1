#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launch/process_identity.hpp"

namespace penstock {

class SlurmAnswers;

/// A run as its directory tells it: from any machine that sees the directory, during the run and after it, however it
/// ended.
struct RunRecord {
    std::string path;  ///< Of the directory, absolute.
    std::string pipeline = {};
    /// As status.json has it; or "lost": its coordinator is gone and has not said how the run ended; or "silent": it
    /// runs elsewhere and has not said anything for `silent_after`; or "unknown": nothing here can be read.
    std::string state = {};
    std::string note = {};  ///< Why it is lost, silent or unknown.
    int exit_code = 0;
    std::string error = {};
    double elapsed_s = 0;
    std::string started_at = {};  ///< RFC 3339, UTC.
    ProcessIdentity coordinator = {};
    std::string slurm_job = {};  ///< The id of the job of Slurm it is; empty for none.
    std::string slurm_cluster = {};
    int slurm_restart = 0;    ///< How often the job had been requeued before.
    std::string status = {};  ///< The text of status.json, if it is JSON.
    /// Where it stands among the phases of its pipeline; no name for one without phases.
    struct Phase {
        std::string name = {};
        std::uint64_t number = 0;
        std::uint64_t of = 0;
        std::vector<std::pair<std::string, std::string>> earlier = {};  ///< Names and run directories of those before.
    } phase = {};

    static constexpr std::chrono::seconds silent_after{30};

    [[nodiscard]] std::string name() const;
    /// "phase make (1 of 2)"; empty for a pipeline without phases.
    [[nodiscard]] std::string phase_words() const;
    /// Nothing more will come.
    [[nodiscard]] bool is_over() const noexcept;
    /// What the program would have ended with: that of a process that is gone for a lost run. REQUIRES: it is over and
    /// not "unknown".
    [[nodiscard]] int end_code() const noexcept;
};

/// Whether JSON text is nested so little that it can be read without harm to the stack.
[[nodiscard]] bool is_shallow_json(std::string_view text) noexcept;

/// The text of a file of a run; nothing for what is no regular file: a folder cannot be read, and a pipe may never end;
/// nor for what is larger than any run makes it.
[[nodiscard]] std::optional<std::string> run_file_text(const std::string& path);

/// Never throws for what it finds in the directory: that makes the state "unknown" at worst.
[[nodiscard]] RunRecord read_run(const std::string& path);
/// For whoever reads several runs, or one again and again.
[[nodiscard]] RunRecord read_run(const std::string& path, SlurmAnswers& slurm);

/// The paths of the runs in a folder, newest first; empty if there is no such folder.
[[nodiscard]] std::vector<std::string> list_runs(const std::string& runs_dir);

/// The newest run of a job of Slurm; empty if there is none.
[[nodiscard]] std::string find_run_of_job(const std::string& runs_dir, std::string_view job);

/// The run a word stands for: the path of its directory, its name in `runs_dir` or the beginning of only one, or the id
/// of its job of Slurm; the newest if the word is empty.
/// @throws Error{invalid_input} saying which there are.
[[nodiscard]] std::string find_run(const std::string& runs_dir, std::string_view word);

/// What can be asked of a run through its directory, by anybody who may write there.
enum class StopRequest : std::uint8_t {
    none,
    drain,  ///< As by a first signal: sources stop, the rest drains.
    abort,  ///< As by a second one.
};
/// The coordinator looks about twice a second. @throws Error if the request cannot be written.
void request_stop(const std::string& path, StopRequest request);
[[nodiscard]] StopRequest requested_stop(const std::string& path) noexcept;

}  // namespace penstock
