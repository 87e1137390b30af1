#pragma once

#include <chrono>
#include <cstdint>
#include <ctime>

namespace penstock {

/// Wall-clock time, ns since the epoch.
[[nodiscard]] inline std::uint64_t wall_ns() noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

using SteadyClock = std::chrono::steady_clock;

/// A processor's counter: cheap, steady, of no stated unit. For "has some time passed" on the hot path.
[[nodiscard]] inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    std::uint64_t value = 0;
    asm volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return static_cast<std::uint64_t>(SteadyClock::now().time_since_epoch().count());
#endif
}

/// Some tens of microseconds in ticks, whatever the processor's exact rate.
#if defined(__x86_64__)
inline constexpr std::uint64_t short_while = 100'000;  // 2 to 5 GHz
#elif defined(__aarch64__)
inline constexpr std::uint64_t short_while = 5'000;  // 25 MHz to 1 GHz
#else
inline constexpr std::uint64_t short_while = 50'000;
#endif

/// Says that the processor is only waiting.
inline void pause_cpu() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace penstock
