#include "doctor/tuner.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace penstock::doctor {
namespace {

constexpr std::size_t rounds = 5;

TEST(Tuner, TakesTheClearlyBestValue) {
    const std::vector<TuningFigure> figures{
        {.value = 2, .ratio = 1.2, .wins = 5}, {.value = 4}, {.value = 8, .ratio = 1.4, .wins = 4}};

    EXPECT_EQ(best_value(figures, 4, rounds), 8U);
}

TEST(Tuner, StaysWithWhatIsBuiltInForNoise) {
    EXPECT_EQ(best_value({{.value = 2, .ratio = 1.04, .wins = 5}, {.value = 4}}, 4, rounds), 4U);
    EXPECT_EQ(best_value({{.value = 2, .ratio = 1.5, .wins = 3}, {.value = 4}}, 4, rounds), 4U);
    EXPECT_EQ(best_value({{.value = 2, .ratio = 1.5, .wins = 2}, {.value = 4}}, 4, 2), 4U) << "of too few rounds";
    EXPECT_EQ(best_value({}, 4, rounds), 4U);
}

[[nodiscard]] std::uint32_t inline_bytes_of(double at_4, double at_8, double at_16, double at_32) {
    const auto figure = [](std::uint32_t size, double ratio) {
        return TuningFigure{.value = size, .ratio = ratio, .wins = ratio > 1 ? rounds : 0};
    };
    return best_inline_bytes({figure(4, at_4), figure(8, at_8), figure(16, at_16), figure(32, at_32)}, 16, rounds);
}

TEST(Tuner, RaisesTheInlineSizeAsFarAsFramesAreFaster) {
    EXPECT_EQ(inline_bytes_of(3, 2, 1.5, 1.2), 32U);
    EXPECT_EQ(inline_bytes_of(3, 2, 1.2, 1.01), 16U);
    EXPECT_EQ(inline_bytes_of(3, 2, 1.2, 0.5), 16U);
}

TEST(Tuner, LowersTheInlineSizeAsFarAsFetchesAreFaster) {
    EXPECT_EQ(inline_bytes_of(3, 2, 0.97, 0.5), 16U);
    EXPECT_EQ(inline_bytes_of(3, 2, 0.7, 0.5), 8U);
    EXPECT_EQ(inline_bytes_of(3, 0.8, 0.7, 0.5), 4U);
    EXPECT_EQ(inline_bytes_of(0.9, 0.8, 0.7, 0.5), 2U);
}

}  // namespace
}  // namespace penstock::doctor
