#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "cli/command.hpp"
#include "cli/job_wait.hpp"
#include "cli/launch_job.hpp"
#include "cli/launch_preview.hpp"
#include "cli/options.hpp"
#include "cli/run_arguments.hpp"
#include "launch/slurm.hpp"
#include "launch/slurm_chain.hpp"
#include "plan/describe.hpp"
#include "plan/phases.hpp"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// The script of one of several jobs.
[[nodiscard]] std::string script_of(const Preparation& prepared, const Launching& launching, const JobsOfPhases& jobs) {
    return chained_script(prepared.chain, launching.plan, launching.job, jobs);
}

/// Slurm does not say that it is the placement, or the GPUs, for which its nodes are too small.
template <class Question>
[[nodiscard]] std::string ask_slurm(const Launching& launching, Question&& question) {
    const SlurmJob& job = launching.job;
    if (job.nodes.empty() && launching.gpus_per_node == 0) return question();
    const auto note = [&] {
        std::string text = "asking for ";
        if (!job.nodes.empty()) {
            text += fmt::format("{} nodes with room for {} ranks each; --ntasks-per-node says how many a node takes",
                                job.node_count, number_option(job, "ntasks-per-node"));
        }
        if (launching.gpus_per_node > 0) {
            text += fmt::format("{}{} GPUs on each node; --ntasks-per-node or a \"placement\" lets fewer be on one",
                                job.nodes.empty() ? "" : ", and ", launching.gpus_per_node);
        }
        return text;
    };
    return with_context(note, question);
}

int explain(const Program& program, const Launching& launching, const std::string& script) {
    program.out << script << '\n' << placement_text(launching);
    if (!has_slurm()) {
        program.out << "\nThere is no sbatch here: without --dry-run the pipeline would run on this machine\n";
    } else {
        program.out << "\nSlurm: " << ask_slurm(launching, [&] { return try_job(launching.script); }) << '\n';
    }
    return 0;
}

/// Calls `show` for each of several jobs with its script, below a line that says which one it is.
template <class Show>
void show_chain(const Program& program, const Preparation& prepared, Show&& show) {
    const JobsOfPhases jobs = stand_ins(prepared.chain);
    for (const Launching& launching : prepared.jobs) {
        const PhaseInfo& phase = *launching.plan.phase;
        program.out << fmt::format("{}# ==== {}: {}{} ====\n", phase.number == 1 ? "" : "\n", jobs.at(phase.name),
                                   phase_line(launching.plan),
                                   phase.after.empty() ? "" : "; JOB1, ... stand for the ids that sbatch gives");
        show(launching, script_of(prepared, launching, jobs));
    }
}

// --- the jobs of a chain ---

/// Ends a job that is not wanted any more. @return what has become of it.
[[nodiscard]] std::string withdrawn(const std::string& phase, const std::string& id) {
    try {
        cancel_job(id);
        return fmt::format("job {}, phase {}, is cancelled", id, phase);
    } catch (const Error& error) {
        return fmt::format("job {}, phase {}, is there: {}", id, phase, error.what());
    }
}

/// @return their ids. When one is refused there is none left of those before it.
[[nodiscard]] JobsOfPhases submit_chain(const Preparation& prepared) {
    JobsOfPhases jobs;
    for (const Launching& launching : prepared.jobs) {
        try {
            const std::string script = script_of(prepared, launching, jobs);
            jobs.emplace(launching.plan.phase->name, ask_slurm(launching, [&] { return submit_job(script); }));
        } catch (Error& error) {
            std::string note = "submitting " + phase_words(launching.plan);
            for (auto at = prepared.jobs.rbegin(); at != prepared.jobs.rend(); ++at) {
                const auto job = jobs.find(at->plan.phase->name);
                if (job != jobs.end()) note += "; " + withdrawn(job->first, job->second);
            }
            error.add_context(note);
            throw;
        }
    }
    return jobs;
}

/// @return the exit code of the first phase that has not succeeded.
int wait_for_chain(const Program& program, const LaunchArguments& arguments, const Preparation& prepared,
                   const JobsOfPhases& jobs) {
    const Patience patience{arguments.wait_timeout};
    std::map<std::string, int> codes;  // of the phases that have not succeeded
    int first = 0;
    for (const Launching& launching : prepared.jobs) {
        const PhaseInfo& phase = *launching.plan.phase;
        const std::string& id = jobs.at(phase.name);
        const auto failed = std::ranges::find_if(phase.after, [&](const auto& name) { return codes.contains(name); });
        if (failed != phase.after.end()) {
            static_cast<void>(end_of(program, id, patience));
            program.err << fmt::format("job {}: phase {} is not started, as phase {} has not succeeded\n", id,
                                       phase.name, *failed);
            codes.emplace(phase.name, codes.at(*failed));
        } else if (const int code = wait_for(program, launching.job.runs_dir, id, patience); code != 0) {
            codes.emplace(phase.name, code);
            if (first == 0) first = code;
        }
    }
    return first;
}

int launch_chain(const Program& program, const LaunchArguments& arguments, const Preparation& prepared) {
    const JobsOfPhases jobs = submit_chain(prepared);
    for (const Launching& launching : prepared.jobs) program.out << jobs.at(launching.plan.phase->name) << '\n';
    program.out << std::flush;
    return arguments.wait ? wait_for_chain(program, arguments, prepared, jobs) : 0;
}

/// The program of the user runs the pipeline in place of this one.
[[noreturn]] void become_users_program(const LaunchArguments& arguments) {
    std::vector<std::string> words{fs::absolute(arguments.program.path).string(),
                                   "--runs-dir=" + arguments.run.options.runs_dir};
    for (std::string& word : passed_words(arguments, arguments.run.options.launch)) words.push_back(std::move(word));
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(argv.front(), argv.data());
    throw Error{Errc::failed, fmt::format("'{}' cannot be started: {}", words.front(), std::strerror(errno))};
}

/// Where there is no Slurm. What only a job can have is not left out in silence.
int run_here(const Program& program, LaunchArguments& arguments) {
    std::string ignored;
    for (const CLI::Option* option : arguments.of_the_job) {
        if (option->count() == 0) continue;
        if (option->check_name("--dependency")) {
            throw Error{
                Errc::unsupported,
                "there is no sbatch on this machine, so nothing waits for other jobs; leave --dependency out and run "
                "the pipelines one after the other"};
        }
        ignored += (ignored.empty() ? "--" : ", --") + option->get_lnames().front();
    }
    program.err << "penstock launch: there is no sbatch on this machine; the pipeline runs here"
                << (ignored.empty() ? "" : ", without " + ignored) << '\n';
    if (!arguments.program.path.empty()) become_users_program(arguments);
    return run_pipeline(program, arguments.run);
}

int launch(const Program& program, LaunchArguments& arguments) {
    const Preparation prepared = prepare(arguments);
    const bool is_chain = prepared.jobs.size() > 1;
    const Launching& launching = prepared.jobs.front();
    if (arguments.dry_run && is_chain) {
        show_chain(program, prepared,
                   [&](const Launching& each, const std::string& script) { explain(program, each, script); });
        return 0;
    }
    if (arguments.dry_run) return explain(program, launching, launching.script);
    if (arguments.print) {
        const auto print = [&](const Launching&, const std::string& script) { program.out << script; };
        if (is_chain) {
            show_chain(program, prepared, print);
        } else {
            print(launching, launching.script);
        }
        return 0;
    }
    if (!has_slurm()) return run_here(program, arguments);
    if (is_chain) return launch_chain(program, arguments, prepared);
    const std::string id = ask_slurm(launching, [&] { return submit_job(launching.script); });
    program.out << id << '\n' << std::flush;
    if (!arguments.wait) return 0;
    return wait_for(program, launching.job.runs_dir, id, Patience{arguments.wait_timeout});
}

// --- the command line ---

void add_sbatch_option(CLI::App& command, LaunchArguments& arguments, const std::string& names,
                       const std::string& sbatch_name, const std::string& type, const std::string& help) {
    command
        .add_option_function<std::string>(
            names,
            [&arguments, sbatch_name](const std::string& value) { arguments.sbatch.emplace_back(sbatch_name, value); },
            help)
        ->type_name(type);
}

void add_job_options(CLI::App& command, LaunchArguments& arguments) {
    const auto add = [&](const char* names, const char* name, const char* type, const char* help) {
        add_sbatch_option(command, arguments, names, name, type, help);
    };
    add("-p,--partition", "partition", "NAME", "Partition of the job");
    add("-A,--account", "account", "NAME", "Account that pays for it");
    add("-t,--time", "time", "TIME", "Time limit, as sbatch takes it: minutes, H:MM:SS or D-H");
    add("-N,--nodes", "nodes", "NUMBER", "Nodes; else as many as the tasks need");
    add("--ntasks-per-node", "ntasks-per-node", "NUMBER", "Ranks on each node");
    add("--mem", "mem", "SIZE", "Memory of each node: 16G; 0 all of it");
    add("-C,--constraint", "constraint", "FEATURES", "Features that the nodes must have");
    add("-d,--dependency", "dependency", "LIST", "Jobs to wait for: afterok:JOB");
    add("-J,--job-name", "job-name", "NAME", "Name of the job; else that of the pipeline");
    add("-o,--output", "output", "PATTERN", "File for what the run prints; else slurm-%j.out");
    command.add_flag_callback(
        "--exclusive", [&arguments] { arguments.sbatch.emplace_back("exclusive", ""); }, "Share the nodes with nobody");
    command
        .add_option("--sbatch", arguments.more_sbatch,
                    "Any other option of sbatch: qos=high, gpus-per-node=4; repeatable")
        ->type_name("OPTION")
        ->allow_extra_args(false);
    command.add_option("-n,--ntasks", arguments.tasks, "Tasks of the job; only needed where a stage fills it")
        ->check(CLI::PositiveNumber)
        ->type_name("NUMBER");
    command.add_option("--mpi", arguments.mpi, "How srun and MPI find each other")
        ->type_name("TYPE")
        ->capture_default_str();
    add_duration(command, "--drain-time", arguments.drain_time,
                 "How long before the time limit the sources stop; 0 not at all");
    command.add_flag("--print", arguments.print, "Print the script and submit nothing");
    command.add_flag("--dry-run", arguments.dry_run, "Say what would be submitted, and where the ranks would be");
    command.add_flag("--wait", arguments.wait, "Wait for the end of the run and exit as it does");
    add_duration(command, "--wait-timeout", arguments.wait_timeout,
                 "Wait so long at most; the job goes on. 0 for its end");
}

}  // namespace

void add_launch(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("launch", "Run a pipeline as a job of Slurm; where there is none, here");
    const auto arguments = std::make_shared<LaunchArguments>();
    add_pipeline_arguments(*command, arguments->run.pipeline);
    const auto common = command->get_options();
    add_job_options(*command, *arguments);
    add_own_program(*command, arguments->program, "Program of yours that runs the pipeline, with its operators");
    const auto own = command->get_options();
    for (const CLI::Option* option : own) {
        const bool means_nothing =
            option->check_name("--wait") || option->check_name("--ntasks") || option->check_name("--program");
        if (std::ranges::find(common, option) == common.end() && !means_nothing)
            arguments->of_the_job.push_back(option);
    }
    add_run_options(*command, arguments->run);
    for (const CLI::Option* option : command->get_options()) {
        if (std::ranges::find(own, option) == own.end() || option->check_name("--set"))
            arguments->passed_on.push_back(option);
    }
    command->footer(examples({"penstock launch jobs/streaming-demo.json --wait",
                              "penstock launch p.json -p compute -t 1:00:00 -N 4 --sbatch qos=high",
                              "penstock launch p.json --dry-run",
                              "penstock launch second.json -d afterok:$(penstock launch first.json)"}) +
                    "\n\nPrints the id of the job and nothing else; of a pipeline with phases one id for each. With "
                    "--wait the exit codes are those of `penstock "
                    "run`.");
    command->final_callback([&program, arguments] {
        program.action = [&program, arguments] {
            if (arguments->wait_timeout > 0ms && !arguments->wait)
                throw Error{Errc::invalid_input, "--wait-timeout is for --wait; add that, or leave it out"};
            return launch(program, *arguments);
        };
    });
}

}  // namespace penstock::cli
