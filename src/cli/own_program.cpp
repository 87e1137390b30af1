#include "cli/own_program.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock::cli {
namespace {

/// Those of `penstock run` that `Runtime{argc, argv}` leaves alone.
constexpr std::array<const char*, 4> read_by_penstock_only{"--set", "--start-timeout", "--http", "--no-progress"};

[[nodiscard]] OperatorKind kind_by_channels(const PipelineSpec& spec, const std::string& stage) {
    if (std::ranges::find(spec.channels, stage, &ChannelSpec::to) == spec.channels.end()) return OperatorKind::source;
    if (std::ranges::find(spec.channels, stage, &ChannelSpec::from) == spec.channels.end()) return OperatorKind::sink;
    return OperatorKind::processor;
}

[[nodiscard]] Operator never_made(const Params&, StageContext&) {
    throw Error{Errc::internal, "an operator of another program is made here"};
}

}  // namespace

void add_own_program(CLI::App& command, OwnProgram& program, const std::string& help) {
    command.add_option("--program", program.path, help)->type_name("PROGRAM");
}

Registry registry_for(const PipelineSpec& spec, const OwnProgram& program) {
    Registry registry = Registry::with_builtins();
    if (program.path.empty()) return registry;
    for (const StageSpec& stage : spec.stages) {
        if (registry.find(stage.operator_name) != nullptr) continue;
        registry.add({.name = stage.operator_name,
                      .kind = kind_by_channels(spec, stage.name),
                      .help = "",
                      .any_params = true,
                      .gpu = true},
                     never_made);
    }
    return registry;
}

void check_own_program(const OwnProgram& program, const std::vector<const CLI::Option*>& given) {
    if (program.path.empty()) return;
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(program.path, ignored) || access(program.path.c_str(), X_OK) != 0) {
        throw Error{Errc::invalid_input, path_in_quotes(program.path) +
                                             " is no program that can be started; write the path of one behind "
                                             "--program"};
    }
    for (const CLI::Option* option : given) {
        const auto is_it = [&](const char* name) { return option->count() > 0 && option->check_name(name); };
        const auto* const found = std::ranges::find_if(read_by_penstock_only, is_it);
        if (found == read_by_penstock_only.end()) continue;
        throw Error{Errc::invalid_input,
                    std::string{*found} +
                        " is read by `penstock run`, and not by a --program of your own; leave one "
                        "of the two out"};
    }
}

}  // namespace penstock::cli
