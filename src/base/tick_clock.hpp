#pragma once

#include <cstdint>

#include "base/clock.hpp"

namespace penstock {

/// Tells the time from `ticks()`: asks the system for it now and then, and in between adds what the ticks say. A few
/// nanoseconds, where the system takes some tens. Good to some tens of nanoseconds. Used by one thread.
class TickClock {
public:
    /// Nanoseconds since the epoch. @param now  What `ticks()` said, not long ago.
    [[nodiscard]] std::uint64_t wall_ns(std::uint64_t now) noexcept {
        const std::uint64_t steady = steady_ns(now);  // first: it may find out the offset anew
        return steady + wall_offset_;
    }
    /// Nanoseconds of the steady clock: the same in every process of the machine.
    [[nodiscard]] std::uint64_t steady_ns(std::uint64_t now) noexcept {
        const std::uint64_t passed = now - ticks_;
        // A counter that went back, as on another processor, is far ahead here.
        if (passed > trusted_) [[unlikely]]
            return renew();
        return steady_ + ((passed * ns_per_tick_) >> fraction_bits);
    }

private:
    static constexpr unsigned fraction_bits = 32;

    std::uint64_t renew() noexcept;
    void measure_rate() noexcept;

    std::uint64_t ticks_ = 0;  ///< When it asked last.
    std::uint64_t steady_ = 0;
    std::uint64_t wall_offset_ = 0;  ///< Modulo 2^64.
    std::uint64_t ns_per_tick_ = 0;  ///< Fixed point.
    std::uint64_t trusted_ = 0;      ///< For so many ticks; 0 until the rate is known.
    std::uint64_t first_ticks_ = 0;
    std::uint64_t first_steady_ = 0;
    std::uint64_t measured_over_ = 0;  ///< Ticks.
};

}  // namespace penstock
