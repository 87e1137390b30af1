#include "cli/program.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <ostream>
#include <string_view>

#include <penstock/error.hpp>
#include <penstock/runtime.hpp>
#include <penstock/version.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "cli/command.hpp"
#include "cli/failure.hpp"
#include "cli/options.hpp"

namespace penstock::cli {
namespace {

constexpr int usage_error = 2;

std::unique_ptr<CLI::App> make_app(Program& program) {
    auto app = std::make_unique<CLI::App>(
        "Runs pipelines whose stages stream payloads at the speed of memory and fabric.", "penstock");
    app->set_version_flag("--version", "penstock " + std::string{version});
    app->footer(examples({"penstock run jobs/streaming-demo.json", "penstock validate jobs/streaming-demo.json",
                          "penstock operators records", "source <(penstock completion bash)"}) +
                "\n\n`penstock COMMAND --help` says more.");
    for (const auto add :
         {add_run,       add_launch, add_runs,   add_exec,       add_logs,       add_collect, add_report,
          add_validate,  add_graph,  add_plan,   add_operators,  add_transports, add_doctor,  add_tune,
          add_telemetry, add_bench,  add_schema, add_completion, add_man,        add_help}) {
        add(*app, program);
    }
    app->require_subcommand(0, 1);  // a file may be called "plan"
    // Unknown words are refused later, with better advice.
    app->allow_extras();
    for (auto* command : app->get_subcommands([](CLI::App*) { return true; })) command->allow_extras();
    return app;
}

std::vector<std::string> option_names(const CLI::App& command) {
    std::vector<std::string> names;
    for (const auto* option : command.get_options()) {
        for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
}

[[noreturn]] void refuse_word(const CLI::App& command, const std::string& word) {
    const bool is_option = word.starts_with('-');
    const bool is_command = !is_option && command.get_parent() == nullptr;
    std::vector<std::string> names = is_option ? option_names(command) : std::vector<std::string>{};
    if (is_command) {
        for (const auto* known : command.get_subcommands([](const CLI::App*) { return true; })) {
            names.push_back(known->get_name());
            for (const auto& alias : known->get_aliases()) names.push_back(alias);
        }
    }
    const std::vector<std::string_view> views{names.begin(), names.end()};
    const auto option = word.substr(0, word.find('='));
    if (is_option) {
        throw Error{Errc::invalid_input,
                    "unknown option " + in_quotes(option) + suggestion(option, views, "known are")};
    }
    if (is_command) {
        throw Error{Errc::invalid_input, "unknown command " + in_quotes(word) + suggestion(word, views, "known are")};
    }
    throw Error{Errc::invalid_input, "unexpected argument " + in_quotes(word) + "; `penstock " + command.get_name() +
                                         " --help` shows what is expected"};
}

void refuse_extras(const CLI::App& app) {
    const auto refuse = [](const CLI::App& command) {
        const auto words = command.remaining();
        if (words.empty()) return;
        const auto wrong = std::ranges::find_if(
            words, [&](const std::string& word) { return word.starts_with('-') == (command.get_parent() != nullptr); });
        refuse_word(command, wrong == words.end() ? words.front() : *wrong);
    };
    refuse(app);
    for (const auto* command : app.get_subcommands()) refuse(*command);
}

/// Reads the command line and runs its command. @return the exit code.
int execute(Program& program, int argc, const char* const* argv) {
    const auto app = make_app(program);
    if (argc > 1 && std::string_view{argv[1]} == "exec") {
        const auto* const end = std::find(argv + 1, argv + argc, std::string_view{"--"});
        if (end != argv + argc) program.command_words.assign(end + 1, argv + argc);
        argc = static_cast<int>(end - argv);
    }
    try {
        app->parse(argc, argv);
    } catch (const CLI::Success& request) {  // --help, --version
        return app->exit(request, program.out, program.err);
    } catch (const CLI::ParseError& error) {
        refuse_extras(*app);  // a mistyped option explains what is missing
        const auto command = app->get_subcommands();
        const auto name = command.empty() ? "" : ' ' + command.front()->get_name();
        throw Error{Errc::invalid_input, std::string{error.what()} + "; see `penstock" + name + " --help`"};
    }
    refuse_extras(*app);
    if (program.action != nullptr) return program.action();
    program.err << app->help();
    return usage_error;
}

}  // namespace

int run_program(int argc, const char* const* argv, std::ostream& out, std::ostream& err) {
    Program program{.out = out, .err = err};
    const auto fail = [&](const char* message, int code) {
        // The flag may stand behind the mistake.
        program.json = std::any_of(argv, argv + argc, [](std::string_view word) { return word == "--json"; });
        report_failure(program, {.message = message, .exit_code = code});
        return code;
    };
    int code = 0;
    try {
        code = execute(program, argc, argv);
    } catch (const Error& error) {
        code = fail(error.what(), exit_code(error.code()));
    } catch (const std::bad_alloc&) {
        code = fail("exhausted: out of memory", exit_code(Errc::exhausted));
    } catch (const std::exception& error) {
        code = fail(error.what(), exit_code(Errc::internal));
    }
    return code;
}

}  // namespace penstock::cli
