#pragma once

#include <cstddef>
#include <string_view>

#include "spec/problems.hpp"

namespace penstock {

/// A place in a text, both from 1; columns count bytes.
struct TextPosition {
    int line = 1;
    int column = 1;
};

[[nodiscard]] TextPosition position_of(std::string_view text, std::size_t offset) noexcept;

/// Checks what must hold before text can be read as JSON: not empty, not too large, UTF-8 without byte order mark, no
/// NUL bytes. @return false after the problem is added.
[[nodiscard]] bool check_text(std::string_view text, FileProblems& problems);

}  // namespace penstock
