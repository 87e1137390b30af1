#pragma once

#include <string>
#include <string_view>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace penstock::cli {

/// "penstock-telemetry-query" for the command of that name.
[[nodiscard]] std::string page_name(const CLI::App& command);

/// The manual page of a command or of the whole program, in roff with the man macros: what `--help` says, and in SEE
/// ALSO the commands around it.
[[nodiscard]] std::string man_page(const CLI::App& command);

/// Text in which nothing is taken for a request or an escape of roff.
[[nodiscard]] std::string roff_text(std::string_view text);

}  // namespace penstock::cli
