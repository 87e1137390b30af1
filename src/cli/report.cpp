#include <filesystem>
#include <memory>
#include <ostream>
#include <string>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "cli/run_argument.hpp"
#include "launch/run_directory.hpp"
#include "report/page.hpp"

namespace penstock::cli {
namespace {

constexpr const char* standard_output = "-";

struct ReportArguments {
    RunArgument run = {};
    std::string output = {};
};

/// In the directory of this run or of any other; but for a page, which is made anew.
[[nodiscard]] bool is_of_a_run(const std::string& output) {
    namespace fs = std::filesystem;
    std::error_code none;
    if (!fs::exists(output, none)) return false;
    const fs::path path = fs::weakly_canonical(output, none);
    if (path.filename() == "report.html") return false;
    for (fs::path folder = path.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
        if (fs::exists(folder / "run.json", none) && fs::exists(folder / "plan.json", none)) return true;
    }
    return false;
}

int report(const Program& program, const ReportArguments& arguments) {
    const std::string run = arguments.run.find();  // once: a newer run may begin meanwhile
    const std::string text = report::page(report::read_report(run));
    if (arguments.output == standard_output) {
        program.out << text;
        return 0;
    }
    const std::string output = arguments.output.empty() ? run + "/report.html" : arguments.output;
    std::error_code none;
    // It would be replaced: a device by a page.
    if (std::filesystem::exists(output, none) && !std::filesystem::is_regular_file(output, none)) {
        throw Error{Errc::invalid_input,
                    path_in_quotes(output) + " is no file; name one with --output, or \"-\" for standard output"};
    }
    if (is_of_a_run(output)) {
        throw Error{Errc::invalid_input, path_in_quotes(output) +
                                             " is a file of the run itself, which the page would replace; name another "
                                             "with --output"};
    }
    replace_file(output, text, "write it somewhere else with --output");
    program.out << output << '\n';
    return 0;
}

}  // namespace

void add_report(CLI::App& app, Program& program) {
    auto* command =
        app.add_subcommand("report", "Write a page about a run: graph, timeline, throughput, errors, settings");
    const auto arguments = std::make_shared<ReportArguments>();
    add_run_argument(*command, arguments->run);
    command
        ->add_option("-o,--output", arguments->output,
                     "Where to; report.html in the directory of the run if left out, \"-\" is standard output")
        ->type_name("FILE");
    command->footer(examples({"penstock report", "penstock report streaming-demo --output demo.html"}));
    command->final_callback(
        [&program, arguments] { program.action = [&program, arguments] { return report(program, *arguments); }; });
}

}  // namespace penstock::cli
