#include "base/log_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr std::uint64_t largest = ~std::uint64_t{0};

/// Around every power of two, and at random over all sizes.
std::vector<std::uint64_t> values_of_all_sizes() {
    std::vector<std::uint64_t> values{0, largest};
    std::mt19937_64 random{1};
    for (unsigned bits = 0; bits < 64; ++bits) {
        const std::uint64_t power = std::uint64_t{1} << bits;
        values.insert(values.end(), {power - 1, power, power + 1});
        for (int i = 0; i < 100; ++i) values.push_back(power + random() % power);
    }
    return values;
}

/// What is exactly so of the sorted values.
std::uint64_t true_quantile(const std::vector<std::uint64_t>& sorted, double share) {
    const auto wanted = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
    return sorted[std::max<std::size_t>(wanted, 1) - 1];
}

TEST(LogHistogram, HasBucketsThatFollowEachOtherWithoutGaps) {
    std::uint64_t first = 0;
    for (std::size_t bucket = 0; bucket < LogHistogram::buckets; ++bucket) {
        const std::uint64_t last = LogHistogram::last_of(bucket);
        ASSERT_GE(last, first) << bucket;
        ASSERT_EQ(LogHistogram::bucket_of(first), bucket);
        ASSERT_EQ(LogHistogram::bucket_of(last), bucket);
        first = last + 1;
    }
    EXPECT_EQ(first, 0U) << "the last bucket ends where the numbers end";
}

TEST(LogHistogram, IsNeverOffByMoreThanAThirtySecond) {
    for (const std::uint64_t value : values_of_all_sizes()) {
        const std::uint64_t last = LogHistogram::last_of(LogHistogram::bucket_of(value));
        ASSERT_GE(last, value);
        if (value < std::uint64_t{1} << LogHistogram::octaves) {
            ASSERT_LE(last - value, value / 32) << value;
        }
    }
}

TEST(LogHistogram, KnowsSmallValuesExactly) {
    for (std::uint64_t value = 0; value < 64; ++value) {
        EXPECT_EQ(LogHistogram::last_of(LogHistogram::bucket_of(value)), value);
    }
}

TEST(LogHistogram, IsEmptyAtFirst) {
    const LogHistogram none;

    EXPECT_EQ(none.count(), 0U);
    EXPECT_EQ(none.quantile(0.5), 0U);
    EXPECT_EQ(none.max(), 0U);
    EXPECT_EQ(none.mean(), 0.0);
    EXPECT_EQ(none.count_to(largest), 0U);
}

TEST(LogHistogram, TakesZeroAndTheLargestNumber) {
    LogHistogram histogram;
    histogram.record(0);
    EXPECT_EQ(histogram.quantile(1), 0U);
    EXPECT_EQ(histogram.count(), 1U);

    histogram.record(largest);

    EXPECT_EQ(histogram.count(), 2U);
    EXPECT_EQ(histogram.quantile(0.5), 0U);
    EXPECT_EQ(histogram.quantile(1), largest);
    EXPECT_EQ(histogram.max(), largest);
    EXPECT_EQ(histogram.count_to(0), 1U);
}

TEST(LogHistogram, AnswersForAValueBeyondItsRangeWithTheLargest) {
    LogHistogram histogram;
    const std::uint64_t huge = std::uint64_t{1} << 50U;
    histogram.record(huge);

    EXPECT_EQ(histogram.quantile(0.5), huge);
}

TEST(LogHistogram, NeverAnswersMoreThanItHasSeen) {
    LogHistogram histogram;
    histogram.record(1000);

    for (const double share : {-1.0, 0.0, 0.5, 1.0, 2.0}) EXPECT_EQ(histogram.quantile(share), 1000U) << share;
}

TEST(LogHistogram, FindsTheQuantilesOfManyValues) {
    std::mt19937_64 random{7};
    std::vector<std::uint64_t> values;
    LogHistogram histogram;
    for (int i = 0; i < 20'000; ++i) {
        values.push_back(static_cast<std::uint64_t>(std::exp(static_cast<double>(random() % 25'000) / 1000)));
        histogram.record(values.back());
    }
    std::ranges::sort(values);

    for (const double share : {0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const std::uint64_t exact = true_quantile(values, share);
        EXPECT_GE(histogram.quantile(share), exact) << share;
        EXPECT_LE(histogram.quantile(share), exact + exact / 32) << share;
    }
    EXPECT_EQ(histogram.max(), values.back());
    const auto sum = std::accumulate(values.begin(), values.end(), std::uint64_t{0});
    EXPECT_EQ(histogram.sum(), sum);
    EXPECT_DOUBLE_EQ(histogram.mean(), static_cast<double>(sum) / 20'000);
}

TEST(LogHistogram, CountsExactlyBelowAPowerOfTwo) {
    LogHistogram histogram;
    const auto values = values_of_all_sizes();
    for (const std::uint64_t value : values) histogram.record(value);

    for (unsigned bits = 0; bits <= LogHistogram::octaves; ++bits) {
        const std::uint64_t limit = (std::uint64_t{1} << bits) - 1;
        const auto below = std::ranges::count_if(values, [limit](std::uint64_t value) { return value <= limit; });
        EXPECT_EQ(histogram.count_to(limit), static_cast<std::uint64_t>(below)) << bits;
    }
}

TEST(LogHistogram, IsMergedAsIfAllHadBeenRecordedInOne) {
    LogHistogram whole;
    std::vector<LogHistogram> parts(3);
    std::size_t next = 0;
    for (const std::uint64_t value : values_of_all_sizes()) {
        whole.record(value);
        parts[next++ % parts.size()].record(value);
    }

    LogHistogram merged;
    for (const LogHistogram& part : parts) merged.merge(part);
    merged.merge(LogHistogram{});

    EXPECT_TRUE(merged == whole);
}

}  // namespace
}  // namespace penstock
