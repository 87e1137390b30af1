#pragma once

#include <string>
#include <vector>

#include <CLI/Option.hpp>

#include <penstock/operator.hpp>
#include <penstock/spec.hpp>

namespace penstock::cli {

/// A program that has operators of its own and runs pipelines with them, as jobs/hello.cpp does: it is called with the
/// options that `Runtime{argc, argv}` reads, and the pipeline file as its last word.
struct OwnProgram {
    std::string path = {};  ///< Empty: there is none, `penstock run` runs the pipeline.
};

void add_own_program(CLI::App& command, OwnProgram& program, const std::string& help);

/// The built-in operators. If there is a program, those that a stage names and that are not built in are taken to be
/// its own, with any parameters and for any device: the program is not started to be asked, and checks them itself.
[[nodiscard]] Registry registry_for(const PipelineSpec& spec, const OwnProgram& program);

/// @throws Error{invalid_input} if the program is no file that can be started, or one of the options of `penstock run`
/// is given that only that reads.
void check_own_program(const OwnProgram& program, const std::vector<const CLI::Option*>& given);

}  // namespace penstock::cli
