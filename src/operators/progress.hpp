#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/clock.hpp"

namespace penstock {

/// Whether progress is worth a line after that many steps: every 10 up to 1000, then every 100 up to 10 000, and so on.
[[nodiscard]] bool is_milestone(std::uint64_t steps) noexcept;

/// Measures how fast a stage works, for its log lines.
class Stopwatch {
public:
    void start() noexcept { started_ = SteadyClock::now(); }
    [[nodiscard]] double seconds() const noexcept;
    /// "9.5s"; milliseconds below a second: "0.043s".
    [[nodiscard]] std::string seconds_text() const;
    /// "10234 records/sec"
    [[nodiscard]] std::string rate_text(std::uint64_t records) const;

private:
    SteadyClock::time_point started_ = SteadyClock::now();
};

}  // namespace penstock
