#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace penstock {

/// A part of a heterogeneous job: ranks in a row, on one kind of nodes.
struct SlurmPart {
    std::uint32_t tasks = 1;
    std::uint32_t cpus_per_task = 1;
    std::vector<std::pair<std::string, std::string>> options = {};  ///< As those of the job, for this part.
    std::uint32_t tasks_per_node = 0;                               ///< 0: as Slurm does it.
};

/// A run as a job of Slurm: what it asks for and what it starts.
struct SlurmJob {
    std::string name;
    std::uint32_t tasks = 1;
    std::uint32_t cpus_per_task = 1;
    std::string directory;  ///< The job starts there.
    /// Options of sbatch without their dashes, in order: {"partition", "gpu"}, {"exclusive", ""}. After those above, so
    /// that they win.
    std::vector<std::pair<std::string, std::string>> options = {};
    /// How long before the time limit the ranks are told to drain. 0: not at all.
    std::chrono::seconds drain_time{60};
    /// The node of each task, from 0 in the order of their names; empty where Slurm decides. If not, the options say
    /// how many nodes there are, which is `node_count`, and for how many tasks each has room.
    std::vector<std::uint32_t> nodes = {};
    std::uint32_t node_count = 0;
    /// Where nodes of several kinds are asked for: two or more, whose tasks are all of the job, in the order of the
    /// ranks.
    std::vector<SlurmPart> parts = {};
    std::string mpi = "pmix";  ///< `srun --mpi`; empty for a run that brings its own processes.

    std::string program;             ///< The path of penstock.
    std::string users_program = {};  ///< That runs the pipeline in place of `penstock run`; empty for that.
    std::string runs_dir;
    std::vector<std::string> run_words;  ///< What stands behind `penstock run`, or behind the program.

    std::string phase = {};  ///< Of a pipeline with phases, the one that is run.
    /// The phases before it and the jobs that they are. Their run directories are looked up when the job starts.
    std::vector<std::pair<std::string, std::string>> earlier = {};
};

/// The script that sbatch gets. Any text in the job is safe but for control characters.
/// @throws Error{invalid_input} naming the text that a line of sbatch options cannot have.
[[nodiscard]] std::string sbatch_script(const SlurmJob& job);

/// "constraint=gpu", "--constraint=gpu", "exclusive" or "-C gpu" as an entry of `SlurmJob::options`.
/// @throws Error{invalid_input} if it has another form, or is an option that the script sets itself.
[[nodiscard]] std::pair<std::string, std::string> sbatch_option(const std::string& text);

}  // namespace penstock
