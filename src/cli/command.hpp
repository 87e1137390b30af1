#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <penstock/operator.hpp>
#include <penstock/plan.hpp>
#include <penstock/spec.hpp>

namespace penstock::cli {

/// What a command line asks for. Commands are run after all of it has been read.
struct Program {
    std::ostream& out;
    std::ostream& err;
    bool json = false;                            ///< Answers are for programs.
    std::vector<std::string> command_words = {};  ///< Behind "--" of `exec`: somebody else's command line.
    std::function<int()> action = nullptr;        ///< @return the exit code. Errors are thrown.
};

/// The pipeline that a command is about.
struct PipelineArguments {
    std::string file;
    std::vector<std::string> settings;
};

// Each adds its commands to the program; `program` outlives the parsing and the action.
void add_run(CLI::App& app, Program& program);
void add_launch(CLI::App& app, Program& program);
void add_exec(CLI::App& app, Program& program);
void add_runs(CLI::App& app, Program& program);
void add_logs(CLI::App& app, Program& program);
void add_collect(CLI::App& app, Program& program);
void add_report(CLI::App& app, Program& program);
void add_validate(CLI::App& app, Program& program);
void add_graph(CLI::App& app, Program& program);
void add_plan(CLI::App& app, Program& program);
void add_operators(CLI::App& app, Program& program);
void add_transports(CLI::App& app, Program& program);
void add_doctor(CLI::App& app, Program& program);
void add_tune(CLI::App& app, Program& program);
void add_telemetry(CLI::App& app, Program& program);
void add_bench(CLI::App& app, Program& program);
void add_schema(CLI::App& app, Program& program);
void add_completion(CLI::App& app, Program& program);
void add_man(CLI::App& app, Program& program);
void add_help(CLI::App& app, Program& program);

/// FILE and --set.
void add_pipeline_arguments(CLI::App& command, PipelineArguments& arguments);
void add_json_flag(CLI::App& command, Program& program, const std::string& help);
/// Reads the file and applies the environment, then the settings. @throws Error as `load_pipeline` and `apply_setting`
/// do.
[[nodiscard]] PipelineSpec load(const PipelineArguments& arguments);

}  // namespace penstock::cli
