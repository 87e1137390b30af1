#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <penstock/error.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "cli/command.hpp"
#include "cli/man_page.hpp"
#include "cli/options.hpp"

namespace penstock::cli {
namespace {

struct ManArguments {
    std::vector<std::string> command = {};
    std::string output_dir = {};
};

[[nodiscard]] const CLI::App& find(const CLI::App& app, const std::vector<std::string>& words) {
    const CLI::App* at = &app;
    for (const std::string& word : words) {
        const auto known = at->get_subcommands([](const CLI::App*) { return true; });
        const auto found = std::ranges::find_if(known, [&](const CLI::App* each) { return each->check_name(word); });
        if (found == known.end()) {
            std::vector<std::string_view> names;
            for (const CLI::App* each : known) names.push_back(each->get_name());
            throw Error{Errc::invalid_input,
                        "unknown command " + in_quotes(word) + suggestion(word, names, "known are")};
        }
        at = *found;
    }
    return *at;
}

void write_all(const CLI::App& command, const std::string& folder) {
    const std::filesystem::path path = std::filesystem::path{folder} / (page_name(command) + ".1");
    std::ofstream file{path, std::ios::binary};
    file << man_page(command) << std::flush;
    if (!file) {
        throw Error{Errc::invalid_input,
                    "cannot write " + path_in_quotes(path.string()) + "; name a writable folder with --output-dir"};
    }
    for (const CLI::App* each : command.get_subcommands([](const CLI::App*) { return true; })) write_all(*each, folder);
}

}  // namespace

void add_man(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("man", "Print the manual page of a command, or write those of all");
    const auto arguments = std::make_shared<ManArguments>();
    command->add_option("command", arguments->command, "The command; the whole program if left out")
        ->type_name("COMMAND");
    command->add_option("--output-dir", arguments->output_dir, "Write the pages of all commands there")
        ->type_name("DIR");
    command->footer(examples({"penstock man run | man -l -", "penstock man --output-dir share/man/man1"}));
    command->final_callback([&app, &program, arguments] {
        program.action = [&app, &program, arguments] {
            if (arguments->output_dir.empty()) {
                program.out << man_page(find(app, arguments->command));
            } else {
                write_all(app, arguments->output_dir);
            }
            return 0;
        };
    });
}

}  // namespace penstock::cli
