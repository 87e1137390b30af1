#pragma once

#include <string>

#include "report/run_report.hpp"

namespace penstock::report {

/// One HTML page that needs nothing else: no script, no network, styles and charts inside.
[[nodiscard]] std::string page(const RunReport& report);

}  // namespace penstock::report
