#include <memory>
#include <ostream>

#include <penstock/error.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "cli/command.hpp"

namespace penstock::cli {

void add_help(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("help", "Show the help of a command");
    const auto name = std::make_shared<std::string>();
    command->add_option("command", *name, "The command")->type_name("COMMAND");
    command->final_callback([&app, &program, name] {
        program.action = [&app, &program, name] {
            const auto known = app.get_subcommands([](const CLI::App*) { return true; });
            const auto found = std::ranges::find_if(known, [&](const CLI::App* one) { return one->check_name(*name); });
            if (!name->empty() && found == known.end()) {
                std::vector<std::string_view> names;
                for (const auto* one : known) names.push_back(one->get_name());
                throw Error{Errc::invalid_input,
                            "unknown command " + in_quotes(*name) + suggestion(*name, names, "known are")};
            }
            app.clear();  // else the help would be that of this command
            program.out << (name->empty() ? app.help() : (*found)->help(app.get_name()));
            return 0;
        };
    });
}

}  // namespace penstock::cli
