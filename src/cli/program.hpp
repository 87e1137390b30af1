#pragma once

#include <iosfwd>

namespace penstock::cli {

/// The program: reads the command line, runs one command and maps what goes wrong to an exit code.
[[nodiscard]] int run_program(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace penstock::cli
