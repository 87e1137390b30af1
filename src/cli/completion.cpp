#include "cli/completion.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <ostream>
#include <sstream>

#include "cli/command.hpp"
#include "cli/options.hpp"

namespace penstock::cli {
namespace {

enum class Shell : std::uint8_t { bash, zsh, fish };
constexpr std::array shell_words{Word<Shell>{"bash", Shell::bash}, Word<Shell>{"zsh", Shell::zsh},
                                 Word<Shell>{"fish", Shell::fish}};
constexpr Vocabulary<Shell> shells{shell_words};

struct Lists {
    std::vector<std::string> operators;
    std::vector<std::string> commands;
};

/// The type of an option tells what its value is: "{a,b}", "FILE", "DIR", "OPERATOR", "COMMAND".
Words words_of(const std::string& type, const Lists& lists) {
    using Kind = Words::Kind;
    if (type == "FILE") return {.kind = Kind::pipeline_files};
    if (type == "DIR") return {.kind = Kind::directories};
    if (type == "OPERATOR") return {.kind = Kind::listed, .listed = lists.operators};
    if (type == "COMMAND") return {.kind = Kind::listed, .listed = lists.commands};
    if (!type.starts_with('{')) return {.kind = Kind::anything};
    Words words{.kind = Kind::listed};
    std::istringstream choices{type.substr(1, type.size() - 2)};
    for (std::string choice; std::getline(choices, choice, ',');) words.listed.push_back(choice);
    return words;
}

CompletedCommand completed(const CLI::App& command, const std::string& name, const Lists& lists) {
    CompletedCommand result{.name = name, .help = command.get_description(), .options = {}};
    for (const auto* option : command.get_options()) {
        const bool is_flag = option->get_items_expected_max() == 0;
        const auto words = is_flag ? Words{} : words_of(option->get_type_name(), lists);
        if (option->get_positional()) result.argument = words;
        for (const auto& long_name : option->get_lnames()) {
            result.options.push_back({.name = "--" + long_name, .help = option->get_description(), .value = words});
        }
    }
    return result;
}

int complete(const CLI::App& app, const Program& program, Shell shell) {
    std::vector<std::string> operators;
    const auto registry = Registry::with_builtins();
    for (const auto* info : registry.list()) operators.push_back(info->name);
    const auto commands = completed_commands(app, operators);
    switch (shell) {
        case Shell::bash: program.out << bash_completion(commands); break;
        case Shell::zsh: program.out << zsh_completion(commands); break;
        case Shell::fish: program.out << fish_completion(commands); break;
    }
    return 0;
}

}  // namespace

std::vector<CompletedCommand> completed_commands(const CLI::App& app, const std::vector<std::string>& operators) {
    const auto known = app.get_subcommands([](const CLI::App*) { return true; });
    Lists lists{.operators = operators, .commands = {}};
    for (const auto* command : known) lists.commands.push_back(command->get_name());
    std::vector<CompletedCommand> commands;
    for (const auto* command : known) {
        commands.push_back(completed(*command, command->get_name(), lists));
        for (const auto& alias : command->get_aliases()) commands.push_back(completed(*command, alias, lists));
    }
    return commands;
}

void add_completion(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("completion", "Print a script that completes command lines in a shell");
    const auto shell = std::make_shared<Shell>(Shell::bash);
    add_choice(*command, "shell", *shell, shells, "The shell");
    command->footer(examples({"source <(penstock completion bash)", "penstock completion zsh > ~/.zfunc/_penstock",
                              "penstock completion fish > ~/.config/fish/completions/penstock.fish"}));
    command->final_callback([&app, &program, shell] {
        program.action = [&app, &program, shell] { return complete(app, program, *shell); };
    });
}

}  // namespace penstock::cli
