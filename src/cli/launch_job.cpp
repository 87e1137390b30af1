#include "cli/launch_job.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include <penstock/error.hpp>

#include "cli/command.hpp"
#include "cli/job_parts.hpp"
#include "launch/phases.hpp"
#include "plan/node_kinds.hpp"
#include "plan/phases.hpp"
#include "plan/placement.hpp"
#include "transports/make.hpp"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;

[[nodiscard]] std::string own_program() {
    std::error_code failed;
    const auto path = fs::read_symlink("/proc/self/exe", failed);
    if (failed) throw Error{Errc::internal, "where this program lies cannot be read from /proc/self/exe"};
    return path.string();
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

/// What the user asks for goes to the step as well: srun does not take it from the job.
constexpr const char* cores_option = "cpus-per-task";

[[nodiscard]] std::optional<std::uint32_t> cores_asked_for(const Plan& plan, SlurmJob& job, std::uint32_t threads) {
    const auto is_it = [](const auto& option) { return option.first == cores_option; };
    if (std::ranges::none_of(job.options, is_it)) return std::nullopt;
    const std::uint32_t cores = number_option(job, cores_option);
    std::erase_if(job.options, is_it);
    if (cores >= threads) return cores;
    throw Error{Errc::invalid_input,
                fmt::format("a task of pipeline '{}' needs {} cores, and --{} must be that many at least; leave it out",
                            plan.pipeline, threads, cores_option)};
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
    for (const char* name : {"nodes", "ntasks-per-node"}) static_cast<void>(number_option(job, name));  // refused early
    const auto cores = cores_asked_for(plan, job, job.cpus_per_task);
    job.cpus_per_task = cores.value_or(job.cpus_per_task);
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
    ask_for_kinds(plan, job, cores.value_or(1));
    launching.script = sbatch_script(job);
    return launching;
}

}  // namespace

std::vector<std::string> passed_words(const LaunchArguments& arguments, Launch launch) {
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

/// As many nodes as Slurm can have at most.
constexpr std::uint32_t most_of_anything = 65536;

std::uint32_t number_option(const SlurmJob& job, const char* name) {
    std::uint32_t number = 0;
    for (const auto& [key, value] : job.options) {
        if (key != name || value.empty()) continue;
        number = 0;
        if (value.find_first_not_of("0123456789") != std::string::npos) continue;  // "2-4" nodes
        const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
        if (read.ec == std::errc{} && number <= most_of_anything) continue;
        throw Error{Errc::invalid_input, fmt::format("--{} {} is more than any cluster has; write at most {}", name,
                                                     value, most_of_anything)};
    }
    return number;
}

Preparation prepare(const LaunchArguments& arguments) {
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

}  // namespace penstock::cli
