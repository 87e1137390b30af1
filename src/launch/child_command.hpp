#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace penstock {

/// Where the shell would find a program; nothing if nowhere.
[[nodiscard]] std::optional<std::string> find_program(const std::string& name);

struct CommandAnswer {
    int exit_code;  ///< 128 + the signal if it was killed.
    std::string out;
    std::string err;
};

/// Runs another program to its end. @param input  What it reads from standard input.
/// @throws Error{unsupported} if there is no such program, Error{timed_out} when it has been killed for taking longer.
[[nodiscard]] CommandAnswer answer_of(const std::vector<std::string>& words, const std::string& input,
                                      std::chrono::milliseconds timeout);

}  // namespace penstock
