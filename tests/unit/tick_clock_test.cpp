#include "base/tick_clock.hpp"

#include <chrono>

#include <gtest/gtest.h>

namespace penstock {
namespace {

std::uint64_t system_steady_ns() {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds{SteadyClock::now().time_since_epoch()}.count());
}

/// Whatever time passes, until the clock has had occasion to measure the rate of the ticks.
template <class Check>
void ask_for_two_milliseconds(Check check) {
    const std::uint64_t begin = system_steady_ns();
    while (system_steady_ns() - begin < 2'000'000) check();
}

constexpr std::uint64_t far = 5'000'000'000;  // a test may be stopped for a while

TEST(TickClock, TellsTheSteadyTimeOfTheSystem) {
    TickClock clock;
    ask_for_two_milliseconds([&] {
        const std::uint64_t before = system_steady_ns();
        const std::uint64_t told = clock.steady_ns(ticks());
        const std::uint64_t after = system_steady_ns();

        // What it adds up from ticks may be off by a little, an interruption while it measures by more.
        ASSERT_GT(told + 1'000'000, before);
        ASSERT_LT(told, after + 1'000'000);
    });
}

TEST(TickClock, TellsTheWallTimeOfTheSystem) {
    TickClock clock;
    ask_for_two_milliseconds([&] {
        const std::uint64_t before = wall_ns();
        const std::uint64_t told = clock.wall_ns(ticks());

        ASSERT_GT(told + far, before);
        ASSERT_LT(told, before + far);
    });
}

TEST(TickClock, AsksTheSystemWhenTheTicksMakeNoSense) {
    TickClock clock;
    ask_for_two_milliseconds([&] { static_cast<void>(clock.steady_ns(ticks())); });
    const std::uint64_t before = system_steady_ns();

    for (const std::uint64_t odd : {std::uint64_t{0}, ticks() - 1'000'000'000, ticks() + 1'000'000'000}) {
        const std::uint64_t told = clock.steady_ns(odd);
        EXPECT_GE(told, before);
        EXPECT_LT(told, before + far);
    }
}

}  // namespace
}  // namespace penstock
