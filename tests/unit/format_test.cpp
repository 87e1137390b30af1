#include "base/format.hpp"

#include <gtest/gtest.h>

namespace penstock {
namespace {

using namespace std::chrono_literals;

TEST(FormatBytes, TakesTheLargestUnitThatLeavesANumberAboveOne) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(1023), "1023 B");
    EXPECT_EQ(format_bytes(1024), "1 KiB");
    EXPECT_EQ(format_bytes(1536), "1.5 KiB");
    EXPECT_EQ(format_bytes(256ULL << 20U), "256 MiB");
    EXPECT_EQ(format_bytes(~0ULL), "16 EiB");
}

TEST(FormatBytes, RoundsIntoTheNextUnit) {
    EXPECT_EQ(format_bytes((1ULL << 20U) - 1), "1 MiB");
    EXPECT_EQ(format_bytes(102'350), "100 KiB");
}

TEST(FormatDuration, TakesAFittingUnit) {
    EXPECT_EQ(format_duration(0ns), "0 ns");
    EXPECT_EQ(format_duration(850ns), "850 ns");
    EXPECT_EQ(format_duration(12'345ns), "12.3 us");
    EXPECT_EQ(format_duration(45ms), "45 ms");
    EXPECT_EQ(format_duration(9'800ms), "9.8 s");
    EXPECT_EQ(format_duration(60s), "1 m 0 s");
    EXPECT_EQ(format_duration(90s), "1 m 30 s");
    EXPECT_EQ(format_duration(2h + 5min + 10s), "2 h 5 m");
}

TEST(FormatDuration, RoundsIntoTheNextUnit) {
    EXPECT_EQ(format_duration(999'999ns), "1 ms");
    EXPECT_EQ(format_duration(59'999ms), "1 m 0 s");
}

}  // namespace
}  // namespace penstock
