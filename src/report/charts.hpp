#pragma once

#include <string>

#include "report/run_report.hpp"

namespace penstock::report {

// Each as an SVG element for a page, or nothing where there is nothing to show.

/// Stages from left to right, channels with what went through them.
[[nodiscard]] std::string draw_graph(const RunReport& report);
/// For each process the time from its first to its last log line, with a mark at each warning and error.
[[nodiscard]] std::string draw_timeline(const RunReport& report);
/// Where the time of each stage went, as shares of it.
[[nodiscard]] std::string draw_times(const RunReport& report);
/// How many payloads took how long.
[[nodiscard]] std::string draw_histogram(const LatencyFigures& latency);

}  // namespace penstock::report
