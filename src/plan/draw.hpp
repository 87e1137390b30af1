#pragma once

#include <string>

#include <penstock/plan.hpp>

namespace penstock {

/// The graph for a terminal: stages from top to bottom, each below all that feed it, channels as lines on the right.
/// A graph too wide for that is listed channel by channel.
[[nodiscard]] std::string draw_ascii(const Plan& plan);

/// The graph in Graphviz's language.
[[nodiscard]] std::string draw_dot(const Plan& plan);

/// All phases: one below the other, or as boxes that wait for each other.
[[nodiscard]] std::string draw_ascii(const Chain& chain);
[[nodiscard]] std::string draw_dot(const Chain& chain);

}  // namespace penstock
