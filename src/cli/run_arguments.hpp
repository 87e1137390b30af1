#pragma once

#include <cstdint>

#include <penstock/runtime.hpp>

#include "cli/command.hpp"

namespace penstock::cli {

/// What `penstock run` is told.
struct RunArguments {
    PipelineArguments pipeline = {};
    RunOptions options = {};
    std::uint64_t arena_mib = RunOptions{}.arena_bytes >> 20U;
    bool quiet = false;
    int http_port = -1;  // none
};

/// All but FILE and --set.
void add_run_options(CLI::App& command, RunArguments& arguments);
/// @return the exit code of the run.
[[nodiscard]] int run_pipeline(const Program& program, RunArguments& arguments);

}  // namespace penstock::cli
