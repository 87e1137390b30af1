#include <algorithm>
#include <array>
#include <memory>
#include <ostream>
#include <vector>

#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "cli/command.hpp"
#include "cli/options.hpp"
#include "cli/own_program.hpp"
#include "launch/threshold_file.hpp"
#include "plan/describe.hpp"
#include "plan/draw.hpp"
#include "plan/node_kinds.hpp"
#include "plan/placement.hpp"

namespace penstock::cli {
namespace {

Chain chain_of(const PipelineArguments& arguments, const OwnProgram& program = {}, std::uint32_t processes = 0) {
    const PipelineSpec spec = load(arguments);
    return make_chain(spec, registry_for(spec, program), processes);
}

nlohmann::ordered_json phases_json(const Chain& chain) {
    auto json = nlohmann::ordered_json::array();
    for (const Plan& plan : chain.phases) {
        json.push_back({{"name", plan.phase->name},
                        {"stages", plan.stages.size()},
                        {"processes", plan.ranks()},
                        {"after", plan.phase->after}});
    }
    return json;
}

int validate(const Program& program, const PipelineArguments& arguments) {
    const Chain chain = chain_of(arguments);
    const bool has_phases = chain.phases.size() > 1;
    std::size_t stages = 0;
    std::size_t channels = 0;
    for (const Plan& plan : chain.phases) {
        stages += plan.stages.size();
        channels += plan.channels.size();
    }
    if (program.json) {
        nlohmann::ordered_json json{{"valid", true},    {"file", arguments.file}, {"pipeline", chain.pipeline},
                                    {"stages", stages}, {"channels", channels},   {"processes", chain.ranks()}};
        if (has_phases) json["phases"] = phases_json(chain);
        program.out << json_text(json);
        return 0;
    }
    program.out << arguments.file << ": ok: " << stages << " stages, " << channels << " channels, "
                << (has_phases ? std::to_string(chain.phases.size()) + " phases with up to " : "") << chain.ranks()
                << " processes\n";
    for (const Plan& plan : chain.phases) {
        if (plan.phase) program.out << "  " << phase_line(plan) << ": " << plan.ranks() << " processes\n";
    }
    return 0;
}

/// What a plan is for.
struct JobShape {
    static constexpr std::uint32_t most_nodes = 1'000'000;

    std::uint32_t processes = 0;
    std::uint32_t nodes = 0;
    std::uint32_t ranks_per_node = 0;
    OwnProgram program = {};

    /// The node of each rank; empty if nobody said how many there are, or no stage where it is to be.
    [[nodiscard]] std::vector<std::uint32_t> place(const Plan& plan) const {
        if (nodes == 0 || !asks_for_placement(plan)) return {};
        if (const auto kinds = parts_by_kind(plan).size(); kinds > 1) {
            throw Error{Errc::invalid_input,
                        "the stages of pipeline '" + plan.pipeline + "' are for " + std::to_string(kinds) +
                            " kinds of nodes, of which --nodes names one; leave it out, `penstock launch --dry-run` "
                            "shows what goes where"};
        }
        return place_ranks(plan,
                           std::vector<std::uint32_t>(nodes, ranks_per_node == 0 ? unlimited_room : ranks_per_node));
    }
};

enum class GraphFormat : std::uint8_t { ascii, dot };
constexpr std::array format_words{Word<GraphFormat>{"ascii", GraphFormat::ascii},
                                  Word<GraphFormat>{"dot", GraphFormat::dot}};
constexpr Vocabulary<GraphFormat> formats{format_words};

}  // namespace

void add_validate(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("validate", "Check a pipeline file without running it");
    command->alias("check")->alias("lint");
    const auto arguments = std::make_shared<PipelineArguments>();
    add_pipeline_arguments(*command, *arguments);
    add_json_flag(*command, program, "Print the answer as JSON");
    command->footer(examples({"penstock validate jobs/streaming-demo.json",
                              "penstock check jobs/streaming-demo.json --set processor.instances=8"}));
    command->final_callback(
        [&program, arguments] { program.action = [&program, arguments] { return validate(program, *arguments); }; });
}

void add_graph(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("graph", "Draw the graph of a pipeline");
    command->alias("draw");
    const auto arguments = std::make_shared<PipelineArguments>();
    const auto format = std::make_shared<GraphFormat>(GraphFormat::ascii);
    add_pipeline_arguments(*command, *arguments);
    add_choice(*command, "--format", *format, formats, "For a terminal, or for Graphviz");
    command->footer(examples({"penstock graph jobs/streaming-demo.json",
                              "penstock graph jobs/fan-out.json --format dot | dot -Tsvg -o fan-out.svg"}));
    command->final_callback([&program, arguments, format] {
        program.action = [&program, arguments, format] {
            const Chain chain = chain_of(*arguments);
            program.out << (*format == GraphFormat::dot ? draw_dot(chain) : draw_ascii(chain));
            return 0;
        };
    });
}

namespace {

/// What a run would read of measured thresholds; nothing if there is no file.
[[nodiscard]] std::string thresholds_text() {
    const FoundThresholds found = find_thresholds(ThresholdPlace::from_environment());
    if (!found.warning.empty()) return "\n" + found.warning + "\n";
    if (found.file.path().empty()) return {};
    std::string text = "\nthresholds of transports: " + found.file.path() + "\n";
    for (const MeasuredEntry& each : found.file.entries()) {
        text += "  " + each.transport + ", for " + each.measured_for + ": " + words_of(each.thresholds) + "\n";
    }
    return text;
}

}  // namespace

void add_plan(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("plan", "Show which process runs what, and how the stages are joined");
    const auto arguments = std::make_shared<PipelineArguments>();
    add_pipeline_arguments(*command, *arguments);
    const auto job = std::make_shared<JobShape>();
    command
        ->add_option("--processes", job->processes,
                     "For a job of so many, which stages with \"instances\": \"fill\" fill; else as many as cores here")
        ->check(CLI::PositiveNumber)
        ->type_name("NUMBER");
    command->add_option("-N,--nodes", job->nodes, "Show on which of so many nodes \"placement\" puts each instance")
        ->check(CLI::Range(std::uint32_t{1}, JobShape::most_nodes))
        ->type_name("NUMBER");
    command->add_option("--ntasks-per-node", job->ranks_per_node, "Ranks that a node takes; else as many as it gets")
        ->check(CLI::PositiveNumber)
        ->type_name("NUMBER");
    add_own_program(*command, job->program, "Program of yours that the operators are of which penstock does not know");
    add_json_flag(*command, program, "Print the plan as JSON");
    command->footer(examples({"penstock plan jobs/streaming-demo.json", "penstock plan p.json --nodes 4",
                              "mpirun -n $(penstock plan p.json --json | jq .processes) penstock run p.json"}));
    command->final_callback([&program, arguments, job] {
        program.action = [&program, arguments, job] {
            if (job->ranks_per_node != 0 && job->nodes == 0)
                throw Error{Errc::invalid_input, "--ntasks-per-node is for --nodes; add that, or leave it out"};
            const Chain chain = chain_of(*arguments, job->program, job->processes);
            if (job->nodes != 0 && std::ranges::none_of(chain.phases, asks_for_placement)) {
                program.err
                    << "penstock plan: no stage has a \"placement\"; what starts the ranks decides where they are\n";
            }
            std::vector<std::vector<std::uint32_t>> nodes;
            for (const Plan& plan : chain.phases) nodes.push_back(job->place(plan));
            const bool is_one = chain.phases.size() == 1;
            program.out << (!program.json ? describe(chain, nodes)
                            : is_one      ? plan_json(chain.phases[0], nodes[0])
                                          : plan_json(chain, nodes));
            if (!program.json) program.out << thresholds_text();
            return 0;
        };
    });
}

}  // namespace penstock::cli
