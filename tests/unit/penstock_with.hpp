#pragma once

#include <sstream>
#include <string>
#include <vector>

#include "cli/program.hpp"

namespace penstock::cli {

struct Answer {
    int code;
    std::string out;
    std::string err;
};

/// What the program answers to these words.
[[nodiscard]] inline Answer penstock_with(const std::vector<std::string>& words) {
    std::vector<const char*> argv{"penstock"};
    for (const auto& word : words) argv.push_back(word.c_str());
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_program(static_cast<int>(argv.size()), argv.data(), out, err);
    return {.code = code, .out = out.str(), .err = err.str()};
}

}  // namespace penstock::cli
