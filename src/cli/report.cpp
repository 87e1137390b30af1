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

int report(const Program& program, const ReportArguments& arguments) {
    const std::string text = report::page(report::read_report(arguments.run.find()));
    if (arguments.output == standard_output) {
        program.out << text;
        return 0;
    }
    const std::string output = arguments.output.empty() ? arguments.run.find() + "/report.html" : arguments.output;
    std::error_code none;
    // It would be replaced: a device by a page.
    if (std::filesystem::exists(output, none) && !std::filesystem::is_regular_file(output, none)) {
        throw Error{Errc::invalid_input,
                    path_in_quotes(output) + " is no file; name one with --output, or \"-\" for standard output"};
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
