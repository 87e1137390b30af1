#pragma once

#include <string>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace penstock::cli {

/// The run that a command is about.
struct RunArgument {
    std::string run = {};
    std::string runs_dir = "runs";

    /// @throws Error{invalid_input} if there is none.
    [[nodiscard]] std::string find() const;
};

/// [RUN] and --runs-dir.
void add_run_argument(CLI::App& command, RunArgument& argument);
void add_runs_dir(CLI::App& command, RunArgument& argument);

}  // namespace penstock::cli
