#include "base/time_text.hpp"

#include <ctime>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

TEST(TimeText, HasAsManyDigitsOfTheSecondAsThereAre) {
    EXPECT_EQ(time_text(0), "1970-01-01T00:00:00Z");
    EXPECT_EQ(time_text(500'000'000), "1970-01-01T00:00:00.5Z");
    EXPECT_EQ(time_text(1), "1970-01-01T00:00:00.000000001Z");
    EXPECT_EQ(time_text(-1), "1969-12-31T23:59:59.999999999Z");
    EXPECT_EQ(time_text(1'752'871'354 * second_ns), "2025-07-18T20:42:34Z");
    EXPECT_EQ(time_text(951'782'400 * second_ns), "2000-02-29T00:00:00Z");
}

TEST(TimeText, AgreesWithTheLibraryAndReadsBack) {
    std::mt19937_64 random{1};
    std::uniform_int_distribution<std::int64_t> any{std::numeric_limits<std::int64_t>::min(),
                                                    std::numeric_limits<std::int64_t>::max()};
    for (int i = 0; i < 20'000; ++i) {
        const std::int64_t ns = i == 0   ? std::numeric_limits<std::int64_t>::min() + second_ns
                                : i == 1 ? std::numeric_limits<std::int64_t>::max()
                                         : any(random);
        const std::string text = time_text(ns);
        const auto seconds = static_cast<std::time_t>(ns / second_ns - (ns % second_ns < 0 ? 1 : 0));
        std::tm fields{};
        gmtime_r(&seconds, &fields);
        char expected[32];
        std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &fields);
        ASSERT_EQ(text.substr(0, 19), expected) << ns;
        ASSERT_LE(text.size(), max_time_text);
        ASSERT_EQ(parse_time(text), ns) << text;
    }
}

TEST(ParseTime, TakesOffsetsFractionsAndSpaces) {
    const std::int64_t time = *parse_time("2025-12-07T18:13:05.594482Z");
    EXPECT_EQ(parse_time("2025-12-07T23:43:05.594482+05:30"), time);
    EXPECT_EQ(parse_time("2025-12-07 18:13:05.594482z"), time);
    EXPECT_EQ(parse_time("2025-12-07t15:13:05.5944820009-03:00"), time);
}

TEST(ParseTime, RefusesWhatIsNoTime) {
    for (const char* text : {"",
                             "2025",
                             "2025-12-07",
                             "2025-12-07T18:13:05",
                             "2025-12-07T18:13Z",
                             "2025-12-07T18:13:05.Z",
                             "2025-02-29T00:00:00Z",
                             "2025-13-01T00:00:00Z",
                             "2025-00-01T00:00:00Z",
                             "2025-01-00T00:00:00Z",
                             "2025-01-01T24:00:00Z",
                             "2025-01-01T00:60:00Z",
                             "2025-01-01T00:00:61Z",
                             "2025-01-01T00:00:00+24:00",
                             "2025-01-01T00:00:00+0530",
                             "2025-01-01T00:00:00Z ",
                             " 2025-01-01T00:00:00Z",
                             "2025-1-01T00:00:00Z",
                             "+025-01-01T00:00:00Z",
                             "1500-01-01T00:00:00Z",
                             "9999-01-01T00:00:00Z"}) {
        EXPECT_FALSE(parse_time(text)) << text;
    }
}

}  // namespace
}  // namespace penstock
