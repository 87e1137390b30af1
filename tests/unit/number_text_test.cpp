#include "operators/number_text.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace penstock {
namespace {

std::string written(double value) {
    std::array<char, max_number_text> buffer{};
    return {buffer.data(), write_number(buffer.data(), value)};
}

std::string written_integer(std::uint64_t value) {
    std::array<char, max_number_text> buffer{};
    return {buffer.data(), write_integer(buffer.data(), value)};
}

TEST(WriteNumber, HasTheFormOfPythonsRepr) {
    EXPECT_EQ(written(0.0), "0.0");
    EXPECT_EQ(written(-0.0), "-0.0");
    EXPECT_EQ(written(1.5), "1.5");
    EXPECT_EQ(written(-0.5), "-0.5");
    EXPECT_EQ(written(3.0), "3.0");
    EXPECT_EQ(written(0.1), "0.1");
    EXPECT_EQ(written(1234567.25), "1234567.25");
    EXPECT_EQ(written(0.0001), "0.0001");
    EXPECT_EQ(written(0.00001), "1e-05");
    EXPECT_EQ(written(1e15), "1000000000000000.0");
    EXPECT_EQ(written(9999999999999998.0), "9999999999999998.0");
    EXPECT_EQ(written(1e16), "1e+16");
    EXPECT_EQ(written(1.5e300), "1.5e+300");
    EXPECT_EQ(written(5e-324), "5e-324");
    EXPECT_EQ(written(std::numeric_limits<double>::infinity()), "inf");
    EXPECT_EQ(written(-std::numeric_limits<double>::infinity()), "-inf");
}

TEST(WriteNumber, FitsItsRoomAndReadsBackWhateverTheNumber) {
    std::mt19937_64 random{7};
    for (int i = 0; i < 200'000; ++i) {
        const auto value = std::bit_cast<double>(random());
        if (!std::isfinite(value)) continue;
        const std::string text = written(value);
        ASSERT_LE(text.size(), max_number_text) << text;
        ASSERT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
        ASSERT_EQ(parse_number(text), value) << text;
    }
}

TEST(WriteNumber, IsExactWhereTheShortWayEnds) {
    for (const double value : {4e15 - 1, 4e15 - 0.5, 4e15, 4e15 + 1, -4e15 + 0.5}) {
        EXPECT_EQ(std::strtod(written(value).c_str(), nullptr), value);
    }
}

TEST(WriteInteger, WritesEveryLength) {
    std::uint64_t value = 1;
    for (std::size_t digits = 1; digits <= 19; ++digits, value *= 10) {
        EXPECT_EQ(written_integer(value), std::to_string(value));
        EXPECT_EQ(written_integer(value * 10 - 1), std::to_string(value * 10 - 1));
    }
    EXPECT_EQ(written_integer(0), "0");
    EXPECT_EQ(written_integer(~0ULL), "18446744073709551615");
}

TEST(ParseNumber, ReadsWhatIsANumber) {
    EXPECT_EQ(parse_number("0"), 0.0);
    EXPECT_EQ(parse_number("1."), 1.0);
    EXPECT_EQ(parse_number(".5"), 0.5);
    EXPECT_EQ(parse_number("-12.75"), -12.75);
    EXPECT_EQ(parse_number("000000000000000000001.5"), 1.5);
    EXPECT_EQ(parse_number("0.1"), 0.1);
    EXPECT_EQ(parse_number("123456789012345"), 123456789012345.0);
    EXPECT_EQ(parse_number("123456789.0123456789"), 123456789.0123456789);
    EXPECT_EQ(parse_number("1e3"), 1000.0);
    EXPECT_TRUE(std::signbit(parse_number("-0.0").value()));
}

TEST(ParseNumber, RefusesWhatIsNone) {
    for (const char* text :
         {"", "-", ".", "-.", "1,5", " 1", "1 ", "1x", "x", "--1", "1.2.3", "0x10", "1e999", "1_000"}) {
        EXPECT_EQ(parse_number(text), std::nullopt) << text;
    }
}

TEST(ParseNumber, AgreesWithTheStandardLibraryOnEveryLengthOfDigits) {
    std::mt19937_64 random{11};
    for (int i = 0; i < 100'000; ++i) {
        std::string text = std::to_string(random() >> (random() % 64));
        if (const auto point = random() % (text.size() + 1); point < text.size()) text.insert(point, 1, '.');
        ASSERT_EQ(parse_number(text), std::strtod(text.c_str(), nullptr)) << text;
    }
}

}  // namespace
}  // namespace penstock
