#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace penstock::cli {

/// What may stand at one place of a command line.
struct Words {
    enum class Kind { none, anything, listed, pipeline_files, directories };
    Kind kind = Kind::none;
    std::vector<std::string> listed = {};
};

struct CompletedOption {
    std::string name;  ///< With its dashes.
    std::string help;
    Words value = {};  ///< None for a flag.
};

struct CompletedCommand {
    std::string name;
    std::string help;
    std::vector<CompletedOption> options;
    Words argument = {};
};

/// The commands as the parser knows them, aliases as commands of their own.
[[nodiscard]] std::vector<CompletedCommand> completed_commands(const CLI::App& app,
                                                               const std::vector<std::string>& operators);

[[nodiscard]] std::string bash_completion(const std::vector<CompletedCommand>& commands);
[[nodiscard]] std::string zsh_completion(const std::vector<CompletedCommand>& commands);
[[nodiscard]] std::string fish_completion(const std::vector<CompletedCommand>& commands);

}  // namespace penstock::cli
