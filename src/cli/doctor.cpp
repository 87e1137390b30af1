#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <penstock/error.hpp>
#include <penstock/plan.hpp>

#include "base/quote.hpp"
#include "base/table.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "doctor/diagnosis.hpp"
#include "doctor/heat_map.hpp"
#include "doctor/job_peers.hpp"
#include "doctor/png.hpp"
#include "launch/job_launch.hpp"
#include "launch/process_identity.hpp"
#include "launch/run_directory.hpp"

namespace penstock::cli {
namespace {

using doctor::Finding;
using doctor::Findings;
using doctor::PeerMatrix;
using doctor::Severity;
using Json = nlohmann::ordered_json;
using Rank = std::uint32_t;

constexpr std::array job_launch_words{Word<Launch>{"auto", Launch::automatic}, Word<Launch>{"mpi", Launch::mpi},
                                      Word<Launch>{"pmix", Launch::pmix}, Word<Launch>{"tcp", Launch::tcp}};
constexpr std::array bad_first{Severity::error, Severity::warning, Severity::note};

struct DoctorArguments {
    std::string file = {};
    std::uint32_t ranks = 0;
    std::string runs_dir = "runs";
    bool markdown = false;
    bool peers = false;
    Launch launch = Launch::automatic;
    double seconds = 5;
    bool together = false;
    std::string svg = {};
    std::string png = {};
};

[[nodiscard]] std::string plural(std::size_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

[[nodiscard]] std::string text_of_offers(const Findings& findings) {
    Table there{{"what", "there is"}};
    for (const Finding& finding : findings.all()) {
        if (finding.severity == Severity::ok) there.add({std::string{finding.id}, finding.seen});
    }
    return there.text();
}

[[nodiscard]] std::string text_of_problems(const Findings& findings) {
    std::string text;
    for (const Severity severity : bad_first) {
        for (const Finding& finding : findings.all()) {
            if (finding.severity != severity) continue;
            text += fmt::format("\n{}: {}: {}\n  {}\n  fix: {}\n", name_of(severity), finding.id, finding.seen,
                                finding.means, finding.fix);
        }
    }
    return fmt::format("{}\n{}, {}, {}\n", text, plural(findings.count(Severity::error), "error"),
                       plural(findings.count(Severity::warning), "warning"),
                       plural(findings.count(Severity::note), "note"));
}

[[nodiscard]] std::string text_of(const Findings& findings) {
    return text_of_offers(findings) + text_of_problems(findings);
}

[[nodiscard]] Json json_of(const Findings& findings) {
    Json json{{"host", host_name()},
              {"errors", findings.count(Severity::error)},
              {"warnings", findings.count(Severity::warning)},
              {"notes", findings.count(Severity::note)},
              {"findings", Json::array()}};
    for (const Finding& finding : findings.all()) {
        json["findings"].push_back({{"id", finding.id},
                                    {"subject", finding.subject},
                                    {"severity", name_of(finding.severity)},
                                    {"seen", finding.seen}});
        if (finding.severity == Severity::ok) continue;
        json["findings"].back()["means"] = finding.means;
        json["findings"].back()["fix"] = finding.fix;
    }
    return json;
}

[[nodiscard]] Json peers_json(const PeerMatrix& matrix) {
    Json json{{"hosts", matrix.hosts}, {"notes", matrix.notes}, {"pairs", Json::array()}};
    for (Rank from = 0; from < matrix.ranks(); ++from) {
        for (Rank to = 0; to < matrix.ranks(); ++to) {
            const doctor::PairFigures& pair = matrix.at(from, to);
            if (from == to) continue;
            Json entry{{"from", from}, {"to", to}};
            if (pair.problem.empty()) {
                entry["transport"] = pair.transport;
                entry["latency_us"] = pair.latency_us;
                entry["bytes_per_s"] = pair.bytes_per_s;
            } else {
                entry["problem"] = pair.problem;
            }
            json["pairs"].push_back(std::move(entry));
        }
    }
    return json;
}

[[nodiscard]] std::string catalogue_page() {
    std::string text =
        "<!-- Made by `penstock doctor --markdown`. -->\n"
        "# What `penstock doctor` finds\n\n"
        "By subject, each under its name, with the severity that it usually has. [How to use it](doctor.md).\n";
    std::string_view subject;
    for (const doctor::CatalogueEntry& entry : doctor::catalogue()) {
        if (entry.severity == Severity::ok) continue;
        if (entry.subject != subject) text += fmt::format("\n## {}\n", entry.subject);
        subject = entry.subject;
        text += fmt::format("\n**`{}`** ({}) {}\nFix: {}\n", entry.id, name_of(entry.severity), entry.means, entry.fix);
    }
    return text;
}

[[nodiscard]] std::uint32_t ranks_of(const DoctorArguments& arguments) {
    if (arguments.file.empty()) return arguments.ranks;
    if (arguments.ranks != 0) {
        throw Error{Errc::invalid_input, "the pipeline says how many processes it has; leave out --ranks"};
    }
    return make_chain(load({.file = arguments.file, .settings = {}}), Registry::with_builtins()).ranks();
}

[[nodiscard]] Findings examine_here(const DoctorArguments& arguments, std::uint32_t ranks) {
    const auto system = doctor::System::here();
    return examine(system, doctor::needs_of(system, ranks, arguments.runs_dir));
}

/// mpirun puts a terminal in the way even of a file, so the locale has to agree.
[[nodiscard]] bool can_show_blocks() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const std::string_view locale = std::getenv(name) == nullptr ? "" : std::getenv(name);
        if (locale.empty()) continue;
        const bool is_utf8 = locale.find("UTF-8") != locale.npos || locale.find("utf8") != locale.npos;
        return is_utf8 && ::isatty(STDOUT_FILENO) != 0;
    }
    return false;
}

/// What one rank of each host tells rank 0.
[[nodiscard]] std::string node_text(const DoctorArguments& arguments) {
    const Findings findings = examine_here(arguments, 0);
    return Json{
        {"offers", text_of_offers(findings)}, {"problems", text_of_problems(findings)}, {"answer", json_of(findings)}}
        .dump(-1, ' ', false, Json::error_handler_t::replace);
}

[[nodiscard]] std::vector<Json> parsed(const std::vector<std::string>& texts) {
    std::vector<Json> nodes;
    for (const std::string& text : texts) nodes.push_back(Json::parse(text));
    return nodes;
}

/// What hosts have in common is said once.
[[nodiscard]] std::string text_of_nodes(const std::vector<Json>& nodes) {
    if (nodes.size() == 1) return nodes[0]["offers"].get<std::string>() + nodes[0]["problems"].get<std::string>();
    std::string text;
    std::vector<std::pair<std::string, std::string>> problems;  // text, hosts
    for (const Json& node : nodes) {
        const auto host = node["answer"]["host"].get<std::string>();
        const auto said = node["problems"].get<std::string>();
        text += fmt::format("--- {}\n{}", host, node["offers"].get<std::string>());
        const auto same = std::ranges::find(problems, said, &std::pair<std::string, std::string>::first);
        if (same == problems.end()) {
            problems.emplace_back(said, host);
        } else {
            same->second += ", " + host;
        }
    }
    for (const auto& [said, hosts] : problems) text += fmt::format("--- {}\n{}", hosts, said);
    return text;
}

/// In rank 0, with the figures of all.
int tell_peers(const Program& program, const DoctorArguments& arguments, const doctor::JobAnswer& answer) {
    const PeerMatrix& matrix = answer.matrix;
    const auto nodes = parsed(answer.nodes);
    if (program.json) {
        Json json{{"nodes", Json::array()}, {"peers", peers_json(matrix)}};
        for (const Json& node : nodes) json["nodes"].push_back(node["answer"]);
        program.out << json_text(json);
    } else {
        program.out << text_of_nodes(nodes) << '\n' << doctor::heat_map_text(matrix, can_show_blocks());
    }
    if (!arguments.svg.empty()) {
        replace_file(arguments.svg, doctor::heat_map_svg(matrix), "write it somewhere else with --svg");
    }
    if (!arguments.png.empty()) {
        replace_file(arguments.png, doctor::heat_map_png(matrix), "write it somewhere else with --png");
    }
    program.out.flush();  // the job may be aborted after this
    if (!matrix.is_complete()) return exit_code(Errc::timed_out);
    const auto has_errors = [](const Json& node) { return node["answer"]["errors"].get<std::size_t>() > 0; };
    return std::any_of(nodes.begin(), nodes.end(), has_errors) ? 1 : 0;
}

int measure_peers(const Program& program, const DoctorArguments& arguments) {
    if (!arguments.png.empty()) doctor::require_png();
    if (!arguments.png.empty() && arguments.png == arguments.svg) {
        throw Error{Errc::invalid_input, "--svg and --png name the same file " + path_in_quotes(arguments.png) +
                                             "; give each a name of its own"};
    }
    using Seconds = std::chrono::duration<double>;
    const doctor::PeerOptions options{
        .time = std::chrono::duration_cast<std::chrono::nanoseconds>(Seconds{arguments.seconds}),
        .arena_bytes = RunOptions{}.arena_bytes,
        .together = arguments.together};
    return doctor::measure_job(
        arguments.launch, arguments.runs_dir, options, [&] { return node_text(arguments); },
        [&](const doctor::JobAnswer& answer) { return tell_peers(program, arguments, answer); });
}

int diagnose(const Program& program, const DoctorArguments& arguments) {
    if (arguments.markdown) {
        program.out << catalogue_page();
        return 0;
    }
    const std::uint32_t ranks = ranks_of(arguments);
    if (arguments.peers) return measure_peers(program, arguments);
    const bool has_launch = arguments.launch != Launch::automatic;
    if (!arguments.svg.empty() || !arguments.png.empty() || arguments.together || has_launch) {
        throw Error{Errc::invalid_input, "--svg, --png, --together and --launch belong to --peers; add it"};
    }
    if (!speaks_for_job(Launch::automatic)) return 0;
    const Findings findings = examine_here(arguments, ranks);
    program.out << (program.json ? json_text(json_of(findings)) : text_of(findings));
    return findings.count(Severity::error) == 0 ? 0 : 1;
}

void add_picture(CLI::App& command, const std::string& name, std::string& into, const std::string& help) {
    command.add_option(name, into, help)->type_name("IMAGE")->check([](const std::string& file) {
        return std::string{file.empty() ? "needs the name of a file" : ""};
    });
}

}  // namespace

void add_doctor(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("doctor", "Say what this machine and the job offer, what is wrong, and the fix");
    const auto arguments = std::make_shared<DoctorArguments>();
    command->add_option("file", arguments->file, "A pipeline file: is there enough for its processes?")
        ->type_name("FILE");
    command->add_option("--ranks", arguments->ranks, "Is there enough for a run of so many processes?")
        ->type_name("NUMBER")
        ->check(CLI::PositiveNumber);
    command->add_option("--runs-dir", arguments->runs_dir, "Where the run directories are to be")
        ->type_name("DIR")
        ->capture_default_str();
    add_json_flag(*command, program, "Print the findings as JSON");
    command->add_flag("--markdown", arguments->markdown, "Print all that can be found as a page of Markdown");
    command->add_flag("--peers", arguments->peers,
                      "In a job: also measure latency and bandwidth between all pairs of ranks");
    add_choice(*command, "--launch", arguments->launch, Vocabulary<Launch>{job_launch_words},
               "How the ranks of that job find each other; auto: through MPI, or through PMIx in a build without MPI");
    command->add_option("--seconds", arguments->seconds, "For all pairs together, about")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 3600.0))
        ->capture_default_str();
    command->add_flag("--together", arguments->together,
                      "Measure pairs that have no rank in common at the same time, as a run would load the network");
    add_picture(*command, "--svg", arguments->svg, "Draw the pairs into this file, too");
    add_picture(*command, "--png", arguments->png, "The same as an image of pixels");
    command->footer(
        examples({"penstock doctor", "penstock doctor jobs/streaming-demo.json --runs-dir /scratch/runs",
                  "penstock doctor --json", "mpirun -n 4 penstock doctor --peers --svg pairs.svg"}) +
        "\n\nThe exit code is 1 when there is an error among the findings, and 5 when a pair of ranks could "
        "not be measured.");
    command->final_callback(
        [&program, arguments] { program.action = [&program, arguments] { return diagnose(program, *arguments); }; });
}

}  // namespace penstock::cli
