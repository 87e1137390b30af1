#include <algorithm>
#include <array>
#include <memory>
#include <ostream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>
#include <penstock/plan.hpp>

#include "base/table.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "doctor/diagnosis.hpp"
#include "launch/mpi_launch.hpp"
#include "launch/process_identity.hpp"

namespace penstock::cli {
namespace {

using doctor::Finding;
using doctor::Findings;
using doctor::Severity;
using Json = nlohmann::ordered_json;

constexpr std::array bad_first{Severity::error, Severity::warning, Severity::note};

struct DoctorArguments {
    std::string file = {};
    std::uint32_t ranks = 0;
    std::string runs_dir = "runs";
    bool markdown = false;
};

[[nodiscard]] std::string plural(std::size_t count, std::string_view what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

[[nodiscard]] std::string text_of(const Findings& findings) {
    Table there{{"what", "there is"}};
    std::string text;
    for (const Finding& finding : findings.all()) {
        if (finding.severity == Severity::ok) there.add({std::string{finding.id}, finding.seen});
    }
    for (const Severity severity : bad_first) {
        for (const Finding& finding : findings.all()) {
            if (finding.severity != severity) continue;
            text += fmt::format("\n{}: {}: {}\n  {}\n  fix: {}\n", name_of(severity), finding.id, finding.seen,
                                finding.means, finding.fix);
        }
    }
    return fmt::format("{}{}\n{}, {}, {}\n", there.text(), text, plural(findings.count(Severity::error), "error"),
                       plural(findings.count(Severity::warning), "warning"),
                       plural(findings.count(Severity::note), "note"));
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
    return make_plan(load({.file = arguments.file, .settings = {}}), Registry::with_builtins()).ranks();
}

int diagnose(const Program& program, const DoctorArguments& arguments) {
    if (arguments.markdown) {
        program.out << catalogue_page();
        return 0;
    }
    const std::uint32_t ranks = ranks_of(arguments);
    if (!speaks_for_job()) return 0;
    const auto system = doctor::System::here();
    const Findings findings = examine(system, doctor::needs_of(system, ranks, arguments.runs_dir));
    program.out << (program.json ? json_text(json_of(findings)) : text_of(findings));
    return findings.count(Severity::error) == 0 ? 0 : 1;
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
    command->footer(examples({"penstock doctor", "penstock doctor jobs/streaming-demo.json --runs-dir /scratch/runs",
                              "penstock doctor --json"}) +
                    "\n\nThe exit code is 1 when there is an error among the findings, else 0.");
    command->final_callback(
        [&program, arguments] { program.action = [&program, arguments] { return diagnose(program, *arguments); }; });
}

}  // namespace penstock::cli
