#pragma once

#include <string>
#include <string_view>

namespace penstock::cli {

/// What would steer the terminal is shown instead: a run may be somebody else's, and its files say what they like.
/// @param lines  Whether ends of lines stay, or what looks like several lines is none.
[[nodiscard]] std::string without_controls(std::string_view text, bool lines = false);

}  // namespace penstock::cli
