#pragma once

#include "report/run_report.hpp"

namespace penstock::report {

/// Reads logs/*.jsonl: when each process said something first and last, and its warnings and errors.
void read_logs(RunReport& report);

}  // namespace penstock::report
