#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <CLI/Option.hpp>

#include <penstock/plan.hpp>

#include "cli/own_program.hpp"
#include "cli/run_arguments.hpp"
#include "launch/slurm_script.hpp"

namespace penstock::cli {

struct LaunchArguments {
    RunArguments run = {};
    OwnProgram program = {};
    std::vector<std::pair<std::string, std::string>> sbatch = {};  ///< Of the options that have a name of their own.
    std::vector<std::string> more_sbatch = {};
    std::uint32_t tasks = 0;
    std::string mpi = "pmix";
    std::chrono::milliseconds drain_time{60'000};
    bool print = false;
    bool dry_run = false;
    bool wait = false;
    std::chrono::milliseconds wait_timeout{0};
    std::vector<const CLI::Option*> passed_on = {};   ///< To `penstock run`.
    std::vector<const CLI::Option*> of_the_job = {};  ///< That mean nothing without Slurm.
};

/// A job that is to be submitted.
struct Launching {
    Plan plan;
    SlurmJob job;
    std::string script;
    bool brings_processes;            ///< One task that starts the instances itself.
    std::uint32_t gpus_per_node = 0;  ///< As the plan needs them; 0 if the user, or each part of the job, says it.
};

/// All that a launch submits: a job, or one for each phase.
struct Preparation {
    Chain chain;
    std::vector<Launching> jobs;  ///< In the order of the phases.
};

/// @throws Error{invalid_input} if the pipeline, or what is asked for, makes no job.
[[nodiscard]] Preparation prepare(const LaunchArguments& arguments);

/// The options of `penstock run` as they were given, behind the pipeline file; of a program of the user's own, before
/// it. Paths are made absolute by the caller.
[[nodiscard]] std::vector<std::string> passed_words(const LaunchArguments& arguments, Launch launch);

/// What an option of the job says; 0 if it is not given, or no number.
[[nodiscard]] std::uint32_t number_option(const SlurmJob& job, const char* name);

}  // namespace penstock::cli
