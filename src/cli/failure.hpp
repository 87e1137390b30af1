#pragma once

#include <string>

#include "cli/command.hpp"

namespace penstock::cli {

struct Failure {
    std::string message;
    int exit_code;
    std::string report = {};  ///< What is known of the run nevertheless, JSON.
};

/// Says what went wrong: a line for people on standard error, and with --json one object on standard output, which
/// is the report with "error" added.
void report_failure(const Program& program, const Failure& failure);

}  // namespace penstock::cli
