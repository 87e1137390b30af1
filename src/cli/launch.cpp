#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/format.hpp"
#include "base/table.hpp"
#include "cli/command.hpp"
#include "cli/job_parts.hpp"
#include "cli/options.hpp"
#include "cli/own_program.hpp"
#include "cli/run_arguments.hpp"
#include "launch/job_launch.hpp"
#include "launch/phases.hpp"
#include "launch/run_record.hpp"
#include "launch/slurm.hpp"
#include "launch/slurm_chain.hpp"
#include "launch/slurm_script.hpp"
#include "plan/describe.hpp"
#include "plan/node_kinds.hpp"
#include "plan/phases.hpp"
#include "plan/placement.hpp"
#include "transports/make.hpp"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

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

// --- what is submitted ---

/// The options of `penstock run` as they were given, behind the pipeline file; of a program of the user's own, before
/// it. Paths are made absolute by the caller.
[[nodiscard]] std::vector<std::string> passed_words(const LaunchArguments& arguments, Launch launch) {
    const std::string file = fs::absolute(arguments.run.pipeline.file).lexically_normal().string();
    std::vector<std::string> words;
    if (arguments.program.path.empty()) words.push_back(file);
    if (launch != arguments.run.options.launch) words.emplace_back("--launch=tcp");
    for (const CLI::Option* option : arguments.passed_on) {
        if (option->count() == 0 || option->check_name("--runs-dir")) continue;
        const std::string name = "--" + option->get_lnames().front();
        if (option->get_items_expected_max() == 0) {
            words.push_back(name);
            continue;
        }
        for (const std::string& value : option->results()) words.push_back(name + "=" + value);
    }
    if (!arguments.program.path.empty()) words.push_back(file);
    return words;
}

[[nodiscard]] std::string own_program() {
    std::error_code failed;
    const auto path = fs::read_symlink("/proc/self/exe", failed);
    if (failed) throw Error{Errc::internal, "where this program lies cannot be read from /proc/self/exe"};
    return path.string();
}

struct Launching {
    Plan plan;
    SlurmJob job;
    std::string script;
    bool brings_processes;            ///< One task that starts the instances itself.
    std::uint32_t gpus_per_node = 0;  ///< As the plan needs them; 0 if the user, or each part of the job, says it.
};

[[nodiscard]] std::uint32_t number_option(const SlurmJob& job, const char* name) {
    std::uint32_t number = 0;
    for (const auto& [key, value] : job.options) {
        if (key != name || value.empty()) continue;
        number = static_cast<std::uint32_t>(std::strtoul(value.c_str(), nullptr, 10));
        if (value.find_first_not_of("0123456789") != std::string::npos) number = 0;  // "2-4" nodes
    }
    return number;
}

/// Slurm gives its warning before the time limit up to so much earlier than it was told.
constexpr std::chrono::minutes most_early_warning{1};

/// After which a run has ended, one way or another, by the timeouts of its stages; 0 if they do not say. It lasts as
/// long as its sinks.
[[nodiscard]] std::chrono::milliseconds longest_run(const Plan& plan) {
    std::chrono::milliseconds longest{0};
    for (const PlannedStage& stage : plan.stages) {
        if (!stage.outputs.empty()) continue;
        if (stage.timeout.count() == 0) return std::chrono::milliseconds{0};
        longest = std::max(longest, stage.timeout);
    }
    return longest;
}

/// Decides the node of each task, and asks for nodes with room for what each of them gets.
void place_tasks(const Plan& plan, SlurmJob& job) {
    job.node_count = number_option(job, "nodes");
    if (job.node_count == 0) {
        throw Error{Errc::invalid_input,
                    fmt::format("stages of pipeline '{}' have a \"placement\", for which the number of nodes must be "
                                "known; say it with --nodes N",
                                plan.pipeline)};
    }
    const std::uint32_t room = number_option(job, "ntasks-per-node");
    job.nodes = place_ranks(plan, std::vector<std::uint32_t>(job.node_count, room == 0 ? unlimited_room : room));
    if (room != 0) return;
    std::vector<std::uint32_t> loads(job.node_count, 0);
    for (const std::uint32_t node : job.nodes) ++loads[node];
    job.options.emplace_back("ntasks-per-node", std::to_string(std::ranges::max(loads)));
}

[[nodiscard]] bool is_for_gpu(const Plan& plan, std::uint32_t rank) {
    return rank != 0 && plan.stages[plan.place(rank).stage].device == Device::gpu;
}

/// The most instances for GPUs that may be on one node: of a node that Slurm fills, as many as it takes.
[[nodiscard]] std::uint32_t most_gpus_of_a_node(const Plan& plan, const SlurmJob& job) {
    std::map<std::uint32_t, std::uint32_t> counts;
    for (std::uint32_t rank = 1; rank < plan.ranks(); ++rank) {
        if (is_for_gpu(plan, rank)) ++counts[job.nodes.empty() ? 0 : job.nodes[rank]];
    }
    std::uint32_t most = 0;
    for (const auto& entry : counts) most = std::max(most, entry.second);
    const std::uint32_t room = number_option(job, "ntasks-per-node");
    return room == 0 || job.tasks == 1 ? most : std::min(most, room);
}

/// Between parts of a job MPI does not always find its ranks; what needs no MPI goes without, if nobody asks for it.
[[nodiscard]] Launch launch_of_parts(Launch asked) {
    const auto transports = known_transports();
    const bool can_go_without = std::ranges::any_of(transports, [](const TransportInfo& transport) {
        return transport.built && (transport.name == "ucx" || transport.name == "ofi");
    });
    return asked == Launch::automatic && can_go_without ? Launch::tcp : asked;
}

/// @param fills  Whether a stage of it fills its job; or no stage of any phase does, so that --ntasks is about all
/// jobs.
[[nodiscard]] Launching prepare(const LaunchArguments& arguments, Plan of_job, bool fills) {
    Launching launching{.plan = std::move(of_job),
                        .job = {},
                        .script = {},
                        .brings_processes = arguments.run.options.launch == Launch::local};
    const Plan& plan = launching.plan;
    if (fills && arguments.tasks != 0 && arguments.tasks != plan.ranks()) {
        throw Error{Errc::invalid_input, fmt::format("pipeline '{}' needs {} tasks, one for each instance and one for "
                                                     "the coordinator, not {}; leave --ntasks out",
                                                     plan.pipeline, plan.ranks(), arguments.tasks)};
    }
    int threads = 1;
    for (const PlannedStage& stage : plan.stages) threads = std::max(threads, stage.threads);
    const auto cpus = static_cast<std::uint32_t>(threads);
    const bool has_parts = parts_by_kind(plan).size() > 1;
    if (has_parts && launching.brings_processes) {
        throw Error{Errc::invalid_input, fmt::format("the stages of pipeline '{}' are for several kinds of nodes, and "
                                                     "--launch local is for one node; leave it out",
                                                     plan.pipeline)};
    }
    const Launch way = has_parts ? launch_of_parts(arguments.run.options.launch) : arguments.run.options.launch;

    SlurmJob& job = launching.job;
    job.name = run_name(plan);
    job.tasks = launching.brings_processes ? 1 : plan.ranks();
    job.cpus_per_task = launching.brings_processes ? cpus * plan.ranks() : cpus;
    job.mpi = launching.brings_processes ? "" : way == Launch::tcp ? "none" : arguments.mpi;
    job.directory = fs::current_path().string();
    job.options = arguments.sbatch;
    for (const std::string& text : arguments.more_sbatch) job.options.push_back(sbatch_option(text));
    const auto has = [&](const char* name) {
        return std::ranges::find(job.options, name, &std::pair<std::string, std::string>::first) != job.options.end();
    };
    // Else a job whose dependency has failed waits for ever.
    if (has("dependency") && !has("kill-on-invalid-dep")) job.options.emplace_back("kill-on-invalid-dep", "yes");
    job.drain_time = std::chrono::ceil<std::chrono::seconds>(arguments.drain_time);
    job.program = own_program();
    if (!arguments.program.path.empty()) job.users_program = fs::absolute(arguments.program.path).lexically_normal();
    job.runs_dir = fs::absolute(arguments.run.options.runs_dir).lexically_normal().string();
    job.run_words = passed_words(arguments, way);
    if (asks_for_placement(plan) && !launching.brings_processes && !has_parts) place_tasks(plan, job);
    const bool says_gpus = std::ranges::any_of(job.options, asks_for_gpus);
    launching.gpus_per_node = says_gpus || has_parts ? 0 : most_gpus_of_a_node(plan, job);
    if (launching.gpus_per_node > 0) job.options.emplace_back("gpus-per-node", std::to_string(launching.gpus_per_node));
    if (const auto longest = longest_run(plan); longest.count() > 0 && !has("time")) {
        const auto minutes = std::chrono::ceil<std::chrono::minutes>(arguments.run.options.start_timeout + longest +
                                                                     arguments.drain_time + most_early_warning);
        job.options.emplace_back("time", std::to_string(minutes.count()));
    }
    ask_for_kinds(plan, job);
    launching.script = sbatch_script(job);
    return launching;
}

/// All that a launch submits: a job, or one for each phase.
struct Preparation {
    Chain chain;
    std::vector<Launching> jobs;  ///< In the order of the phases.
};

[[nodiscard]] Preparation prepare(const LaunchArguments& arguments) {
    const PipelineSpec spec = load(arguments.run.pipeline);
    const auto is_filling = [&](const PlannedStage& stage) {
        return std::ranges::find(spec.stages, stage.name, &StageSpec::name)->instances == StageSpec::fill;
    };
    const bool any_fills = std::ranges::find(spec.stages, StageSpec::fill, &StageSpec::instances) != spec.stages.end();
    if (any_fills && arguments.tasks == 0) {
        throw Error{Errc::invalid_input, "a stage of pipeline '" + spec.name +
                                             "' fills the job; say with --ntasks how many tasks the job is to have"};
    }
    check_own_program(arguments.program, arguments.passed_on);
    Preparation prepared{.chain = make_chain(spec, registry_for(spec, arguments.program), arguments.tasks), .jobs = {}};
    const auto add = [&](Plan plan) {
        const bool fills = !any_fills || std::ranges::any_of(plan.stages, is_filling);
        prepared.jobs.push_back(prepare(arguments, std::move(plan), fills));
    };
    const RunOptions& options = arguments.run.options;
    if (prepared.chain.phases.size() == 1 || !options.phase.empty() || !options.earlier.empty()) {
        add(chosen_phase(prepared.chain, options, true));
    } else {
        for (const Plan& plan : prepared.chain.phases) add(plan);
    }
    return prepared;
}

/// The script of one of several jobs.
[[nodiscard]] std::string script_of(const Preparation& prepared, const Launching& launching, const JobsOfPhases& jobs) {
    return chained_script(prepared.chain, launching.plan, launching.job, jobs);
}

// --- what would happen ---

/// The number of the node that a rank will be on, counted from 1 in the order of their names; nothing if Slurm decides.
[[nodiscard]] std::string node_of(const SlurmJob& job, std::uint32_t rank) {
    if (!job.nodes.empty()) return std::to_string(job.nodes[rank] + 1);
    if (number_option(job, "nodes") == 1 || job.tasks == 1) return "1";
    const std::uint32_t per_node = number_option(job, "ntasks-per-node");
    return per_node == 0 ? "" : std::to_string(rank / per_node + 1);
}

/// Why a rank is on its node, where stages say where they are to be.
[[nodiscard]] std::string reason_for(const Plan& plan, std::uint32_t rank) {
    if (rank == 0) return "the coordinator, on the first node";
    const auto [stage, instance] = plan.place(rank);
    const StagePlacement& placement = plan.stages[stage].placement;
    if (placement.rule == PlacementRule::by_rank) return "does not say; fills the nodes in order";
    if (placement.rule != PlacementRule::with) return placement_words(placement);
    const auto leader = std::ranges::find(plan.stages, placement.stage, &PlannedStage::name);
    return fmt::format("with {}.{}", leader->name, instance % leader->instances);
}

[[nodiscard]] std::string placement_text(const Launching& launching) {
    const SlurmJob& job = launching.job;
    const bool is_placed = !job.nodes.empty();
    std::vector<std::string> headers{"RANK", "RUNS", "OPERATOR", "NODE"};
    if (is_placed) headers.emplace_back("PLACEMENT");
    Table table{std::move(headers)};
    bool is_known = true;
    for (std::uint32_t rank = 0; rank < launching.plan.ranks(); ++rank) {
        const std::string node = node_of(job, rank);
        is_known = is_known && !node.empty();
        const std::string what = rank == 0 ? "" : launching.plan.stages[launching.plan.place(rank).stage].operator_name;
        std::vector<std::string> row{std::to_string(rank), launching.plan.label(rank), what, node.empty() ? "?" : node};
        if (is_placed) row.push_back(reason_for(launching.plan, rank));
        table.add(std::move(row));
    }
    std::string text = fmt::format("{} tasks with {} {} each; run directories in {}\n\n", job.tasks, job.cpus_per_task,
                                   job.cpus_per_task == 1 ? "core" : "cores", job.runs_dir) +
                       table.text();
    if (!job.parts.empty()) return text + '\n' + parts_text(launching.plan, job);
    if (launching.gpus_per_node > 0) {
        text += fmt::format("\n{} {} on each node, one for each instance for GPUs that may be there\n",
                            launching.gpus_per_node, launching.gpus_per_node == 1 ? "GPU" : "GPUs");
    }
    if (!is_known) {
        text +=
            "\nSlurm gives the ranks to the nodes in order, as many to each as it has cores free; --nodes 1 or "
            "--ntasks-per-node decide it\n";
    }
    if (is_placed) {
        text += fmt::format("\nNodes count from 1 in the order of their names; each of the {} has room for {} ranks\n",
                            job.node_count, number_option(job, "ntasks-per-node"));
        if (const auto last = std::ranges::max(job.nodes) + 1; last < job.node_count) {
            text += fmt::format("Nothing runs on {}\n", job.node_count - last == 1
                                                            ? fmt::format("node {}", last + 1)
                                                            : fmt::format("nodes {} to {}", last + 1, job.node_count));
        }
    }
    return text;
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

// --- the job ---

/// @return what the run ended with, as far as Slurm alone knows.
[[nodiscard]] int exit_code_of(const SlurmJobState& job) {
    if (job.exit_code != 0) return job.exit_code;
    if (job.state == "COMPLETED") return 0;
    if (job.state == "CANCELLED" || job.state == "PREEMPTED") return 128 + SIGTERM;
    if (job.state == "TIMEOUT" || job.state == "DEADLINE") return exit_code(Errc::timed_out);
    if (job.state == "OUT_OF_MEMORY") return exit_code(Errc::exhausted);
    if (job.state == "NODE_FAIL" || job.state == "BOOT_FAIL") return exit_code(Errc::disconnected);
    return exit_code(Errc::failed);
}

/// Between two questions to Slurm, which has others to serve: soon at first, later every few seconds.
class Pause {
public:
    void take(std::chrono::milliseconds at_most) {
        std::this_thread::sleep_for(std::min(next_, at_most));
        next_ = std::min(next_ * 3 / 2, longest);
    }

private:
    static constexpr std::chrono::milliseconds longest{5'000};
    std::chrono::milliseconds next_{200};
};

[[nodiscard]] SteadyClock::time_point end_of_patience(const LaunchArguments& arguments) {
    return arguments.wait_timeout > 0ms ? deadline_in(arguments.wait_timeout) : SteadyClock::time_point::max();
}

/// Waits until a job is over or can never start. @return nothing if Slurm no longer knows it.
[[nodiscard]] std::optional<SlurmJobState> end_of(const LaunchArguments& arguments, const std::string& id,
                                                  SteadyClock::time_point deadline) {
    Pause pause;
    auto job = look_at_job(id);
    while (job && !job->is_over() && !job->can_never_start()) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
        if (left <= 0ms) {
            throw Error{
                Errc::timed_out,
                fmt::format("job {} is {}{} after {}; it goes on: `squeue -j {}` shows it, `scancel {}` ends it", id,
                            job->state, job->reason == "None" ? "" : " (" + job->reason + ")",
                            format_duration(arguments.wait_timeout), id, id)};
        }
        pause.take(left);
        job = look_at_job(id);
    }
    return job;
}

int wait_for(const Program& program, const LaunchArguments& arguments, const std::string& runs_dir,
             const std::string& id, SteadyClock::time_point deadline) {
    const auto job = end_of(arguments, id, deadline);
    if (job && job->can_never_start()) {
        throw Error{Errc::failed, fmt::format("job {} waits for a job that has failed, and will never start; "
                                              "remove it with `scancel {}`",
                                              id, id)};
    }
    const std::string path = find_run_of_job(runs_dir, id);
    if (!path.empty()) {
        const RunRecord run = read_run(path);
        if (run.is_over() && run.state != "unknown") {
            program.err << fmt::format("job {}: the run is {}, exit code {}; run directory: {}\n", id, run.state,
                                       run.end_code(), path);
            if (!run.error.empty()) program.err << run.error << '\n';
            if (!run.note.empty()) program.err << run.note << '\n';
            return run.end_code();
        }
    }
    if (!job) {
        throw Error{Errc::disconnected, "Slurm no longer knows job " + id + ", and no run of it is in '" + runs_dir +
                                            "'; see the output file of the job"};
    }
    program.err << fmt::format(
        "job {}: {} with exit code {}, and no run of it is in '{}'; see the output file of the "
        "job, slurm-{}.out if not named otherwise\n",
        id, job->state, job->exit_code, runs_dir, id);
    return exit_code_of(*job);
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
    const auto deadline = end_of_patience(arguments);
    std::map<std::string, int> codes;  // of the phases that have not succeeded
    int first = 0;
    for (const Launching& launching : prepared.jobs) {
        const PhaseInfo& phase = *launching.plan.phase;
        const std::string& id = jobs.at(phase.name);
        const auto failed = std::ranges::find_if(phase.after, [&](const auto& name) { return codes.contains(name); });
        if (failed != phase.after.end()) {
            static_cast<void>(end_of(arguments, id, deadline));
            program.err << fmt::format("job {}: phase {} is not started, as phase {} has not succeeded\n", id,
                                       phase.name, *failed);
            codes.emplace(phase.name, codes.at(*failed));
        } else if (const int code = wait_for(program, arguments, launching.job.runs_dir, id, deadline); code != 0) {
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
    return wait_for(program, arguments, launching.job.runs_dir, id, end_of_patience(arguments));
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
