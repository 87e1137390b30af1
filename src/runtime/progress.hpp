#pragma once

#include <chrono>
#include <string>

#include "base/clock.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {

/// Shows a run while it runs: one line that is rewritten on a terminal, plain lines now and then elsewhere.
/// Writes to standard error.
class ProgressView {
public:
    ProgressView(const Plan& plan, bool enabled);
    void show(const RunSnapshot& run);
    /// Clears the line on a terminal.
    void end();

private:
    [[nodiscard]] std::string line(const RunSnapshot& run, double seconds);

    const Plan& plan_;
    bool enabled_;
    bool terminal_;
    std::size_t columns_ = 80;
    bool drawn_ = false;
    SteadyClock::time_point shown_at_ = SteadyClock::now();
    RunSnapshot last_;
};

}  // namespace penstock
