#include "base/tick_clock.hpp"

namespace penstock {
namespace {

[[nodiscard]] std::uint64_t system_steady_ns() noexcept {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds{SteadyClock::now().time_since_epoch()}.count());
}

/// The rate from less than this would be off by more than the clocks are.
constexpr std::uint64_t shortest_measurement_ns = 200'000;

}  // namespace

/// Reads all three clocks one after the other, once more when it was interrupted in between.
std::uint64_t TickClock::renew() noexcept {
    for (int attempt = 0; attempt < 3; ++attempt) {
        ticks_ = ticks();
        steady_ = system_steady_ns();
        wall_offset_ = penstock::wall_ns() - steady_;
        if (ticks() - ticks_ < short_while / 16) break;
    }
    measure_rate();
    return steady_;
}

/// Again whenever the time to measure over has doubled, so that an interruption matters less and less.
void TickClock::measure_rate() noexcept {
    if (first_ticks_ == 0 || ticks_ < first_ticks_) {
        first_ticks_ = ticks_;
        first_steady_ = steady_;
        return;
    }
    const std::uint64_t passed_ns = steady_ - first_steady_;
    const std::uint64_t passed = ticks_ - first_ticks_;
    if (passed_ns < shortest_measurement_ns || passed < 2 * measured_over_ || passed == 0) return;
    measured_over_ = passed;
    ns_per_tick_ = static_cast<std::uint64_t>(static_cast<double>(passed_ns) / static_cast<double>(passed) * 0x1p32);
    trusted_ = short_while;
}

}  // namespace penstock
