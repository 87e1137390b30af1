#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace penstock {

/// The candidate that a mistyped word most likely means: a third of its letters may be wrong (at least one), swapped
/// neighbours count once, case does not count; else a candidate that begins with the word. Nothing if none is near.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> candidates);

/// The end of an error message: `; did you mean "x"?` if a candidate is near, else `; <introduction> a, b, c`.
[[nodiscard]] std::string suggestion(std::string_view word, std::span<const std::string_view> candidates,
                                     std::string_view introduction);

}  // namespace penstock
