#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/error.hpp>

#include "base/morsel_pool.hpp"
#include "kernels/accumulate.hpp"
#include "kernels/affine.hpp"
#include "kernels/crc32c.hpp"
#include "kernels/downsample.hpp"
#include "kernels/histogram.hpp"
#include "kernels/isa.hpp"
#include "kernels/logistic_map.hpp"
#include "kernels/resize_images.hpp"
#include "kernels/scale_by_table.hpp"
#include "kernels/square.hpp"
#include "kernels/statistics.hpp"
#include "kernels/threshold.hpp"

// Every kernel against a plain loop in double precision. Sizes with odd tails around the blocks of 4096.
namespace penstock {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr std::array<std::size_t, 9> sizes{0, 1, 3, 64, 1000, 4095, 4096, 4097, 300'001};

/// Rounding of one operation in the precision of the results.
template <class T>
constexpr double epsilon = std::numeric_limits<Real<T>>::epsilon();

/// Numbers from about -100 to 100, or what the type holds of that.
template <class T>
std::vector<T> numbers(std::size_t count, std::uint64_t seed = 1) {
    std::mt19937_64 random{seed};
    std::uniform_real_distribution<double> from{std::is_unsigned_v<T> ? 0.0 : -100.0, 100.0};
    std::vector<T> x(count);
    for (auto& element : x) element = static_cast<T>(from(random));
    return x;
}

template <class T>
class Kernel : public testing::Test {};

using Elements = testing::Types<float, double, std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t,
                                std::int32_t, std::uint64_t, std::int64_t>;
TYPED_TEST_SUITE(Kernel, Elements);

TYPED_TEST(Kernel, AffineAgreesWithAPlainReference) {
    using R = Real<TypeParam>;
    const double a = static_cast<double>(R{1.1F});
    const double b = static_cast<double>(R{0.3F});
    for (const std::size_t size : sizes) {
        const auto x = numbers<TypeParam>(size);
        std::vector<R> y(size, R{99});

        affine(std::span<const TypeParam>{x}, std::span<R>{y}, a, b);

        for (std::size_t i = 0; i < size; ++i) {
            const double product = a * static_cast<double>(x[i]);
            ASSERT_NEAR(static_cast<double>(y[i]), product + b, 2 * epsilon<TypeParam> * (std::abs(product) + b));
        }
    }
}

TYPED_TEST(Kernel, SquareAgreesWithAPlainReference) {
    using R = Real<TypeParam>;
    for (const std::size_t size : sizes) {
        const auto x = numbers<TypeParam>(size);
        std::vector<R> y(size, R{99});

        square(std::span<const TypeParam>{x}, std::span<R>{y});

        for (std::size_t i = 0; i < size; ++i) {
            const double reference = static_cast<double>(x[i]) * static_cast<double>(x[i]);
            ASSERT_NEAR(static_cast<double>(y[i]), reference, epsilon<TypeParam> * reference);
        }
    }
}

TYPED_TEST(Kernel, ScaleByTableAgreesWithAPlainReference) {
    using R = Real<TypeParam>;
    for (const std::size_t size : sizes) {
        for (const std::size_t width : {std::size_t{1}, std::size_t{3}, std::size_t{5000}}) {
            const auto x = numbers<TypeParam>(size);
            const auto offset = numbers<R>(width, 2);
            const auto factor = numbers<R>(width, 3);
            std::vector<R> y(size, R{99});

            scale_by_table(std::span<const TypeParam>{x}, std::span<R>{y}, {offset, factor});

            for (std::size_t i = 0; i < size; ++i) {
                const auto shift = static_cast<double>(offset[i % width]);
                const auto scale = static_cast<double>(factor[i % width]);
                const auto value = static_cast<double>(x[i]);
                const double tolerance = 2 * epsilon<TypeParam> * (std::abs(value) + std::abs(shift)) * std::abs(scale);
                ASSERT_NEAR(static_cast<double>(y[i]), (value - shift) * scale, tolerance);
            }
        }
    }
}

/// Two passes in long double.
template <class T>
Statistics plain_statistics(std::span<const T> x) {
    Statistics result;
    long double sum = 0;
    for (const T element : x) {
        const auto value = static_cast<double>(element);
        if (!std::isfinite(value)) {
            ++result.non_finite;
            continue;
        }
        ++result.count;
        sum += value;
        result.min = std::min(result.min, value);
        result.max = std::max(result.max, value);
    }
    if (result.count == 0) return result;
    const long double mean = sum / static_cast<long double>(result.count);
    long double squares = 0;
    for (const T element : x) {
        const auto value = static_cast<double>(element);
        if (std::isfinite(value)) squares += (value - mean) * (value - mean);
    }
    result.mean = static_cast<double>(mean);
    result.squares = static_cast<double>(squares);
    return result;
}

template <class T>
void expect_statistics(const std::vector<T>& x, double tolerance) {
    const Statistics found = statistics(std::span<const T>{x});
    const Statistics plain = plain_statistics(std::span<const T>{x});

    EXPECT_EQ(found.count, plain.count);
    EXPECT_EQ(found.non_finite, plain.non_finite);
    EXPECT_EQ(found.min, plain.min);
    EXPECT_EQ(found.max, plain.max);
    EXPECT_NEAR(found.mean, plain.mean, tolerance * std::max(std::abs(plain.max), std::abs(plain.min)));
    EXPECT_NEAR(found.squares, plain.squares, tolerance * plain.squares);
}

TYPED_TEST(Kernel, StatisticsAgreeWithAPlainReference) {
    for (const std::size_t size : sizes) {
        if (size > 0) expect_statistics(numbers<TypeParam>(size), 1e-13);
    }
}

TEST(StatisticsKernel, OfNothingHasNoMean) {
    const Statistics none = statistics(std::span<const double>{});

    EXPECT_EQ(none.count, 0U);
    EXPECT_TRUE(std::isnan(none.variance()));
}

TEST(StatisticsKernel, CountsWhatIsNotFiniteApart) {
    auto x = numbers<double>(10'000);
    for (std::size_t i = 0; i < x.size(); i += 7) x[i] = std::array{infinity, -infinity, not_a_number}[i % 3];
    expect_statistics(x, 1e-13);

    const std::vector<float> none(100, std::numeric_limits<float>::quiet_NaN());
    EXPECT_EQ(statistics(std::span<const float>{none}).count, 0U);
    EXPECT_EQ(statistics(std::span<const float>{none}).non_finite, 100U);
}

TEST(StatisticsKernel, KeepASmallSpreadOnALargeMean) {
    std::vector<double> x(100'000);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1e9 + static_cast<double>(i % 2);

    EXPECT_NEAR(statistics(std::span<const double>{x}).variance(), 0.25, 1e-9);
}

TEST(StatisticsKernel, DoNotDependOnWhoJoinsThem) {
    const auto x = numbers<double>(9000);
    Statistics joined = statistics(std::span{x}.first(1234));
    joined.join(statistics(std::span{x}.subspan(1234)));
    const Statistics whole = statistics(std::span<const double>{x});

    EXPECT_EQ(joined.count, whole.count);
    EXPECT_NEAR(joined.mean, whole.mean, 1e-12);
    EXPECT_NEAR(joined.squares, whole.squares, 1e-12 * whole.squares);
}

TYPED_TEST(Kernel, HistogramCountsEachNumberOnce) {
    for (const std::size_t size : sizes) {
        const auto x = numbers<TypeParam>(size);
        Histogram histogram{40, 0.5, 80.5};
        std::vector<std::uint64_t> plain(40);
        std::uint64_t below = 0;
        std::uint64_t above = 0;
        for (const TypeParam element : x) {
            const auto value = static_cast<double>(element);
            if (value < 0.5) {
                ++below;
            } else if (value > 80.5) {
                ++above;
            } else {
                ++plain[std::min<std::size_t>(39, static_cast<std::size_t>((value - 0.5) * 0.5))];
            }
        }

        histogram.add(std::span<const TypeParam>{x});

        for (std::size_t bin = 0; bin < 40; ++bin) ASSERT_EQ(histogram.in_bin(bin), plain[bin]) << size << " " << bin;
        EXPECT_EQ(histogram.below(), below);
        EXPECT_EQ(histogram.above(), above);
    }
}

TEST(HistogramKernel, PutsTheUpperEndIntoTheLastBinAndWhatIsNotFiniteApart) {
    Histogram histogram{2, 0, 1};
    const std::vector<double> x{0, 0.5, 1, std::nextafter(1.0, 2.0), -1e-300, infinity, -infinity, not_a_number};

    histogram.add(std::span<const double>{x});

    EXPECT_EQ(histogram.in_bin(0), 1U);
    EXPECT_EQ(histogram.in_bin(1), 2U);
    EXPECT_EQ(histogram.above(), 1U);
    EXPECT_EQ(histogram.below(), 1U);
    EXPECT_EQ(histogram.non_finite(), 3U);
}

TEST(HistogramKernel, StandsNumbersFarOutsideItsRange) {
    Histogram histogram{1'000'000, -1e-300, 1e-300};
    const std::vector<double> x{1e308, -1e308, 0};

    histogram.add(std::span<const double>{x});
    histogram.clear();
    histogram.add(std::span<const double>{x});

    EXPECT_EQ(histogram.above(), 1U);
    EXPECT_EQ(histogram.below(), 1U);
    EXPECT_EQ(histogram.in_bin(500'000), 1U);
    EXPECT_EQ(histogram.lower_edge(0), -1e-300);
    EXPECT_EQ(histogram.lower_edge(1'000'000), 1e-300);
}

TYPED_TEST(Kernel, ThresholdsAgreeWithAPlainReference) {
    for (const std::size_t size : sizes) {
        for (const double level : {50.0, 50.1, -1000.0, 1e300}) {
            const auto x = numbers<TypeParam>(size);
            std::vector<TypeParam> y(size, TypeParam{99});
            std::vector<std::uint8_t> mask(size, 99);

            const auto suppressed = suppress_zeros(std::span<const TypeParam>{x}, std::span{y}, level);
            const auto masked = mask_hits(std::span<const TypeParam>{x}, std::span{mask}, level);

            std::uint64_t hits = 0;
            for (std::size_t i = 0; i < size; ++i) {
                const bool hit = static_cast<double>(x[i]) >= level;
                hits += hit ? 1U : 0U;
                ASSERT_EQ(y[i], hit ? x[i] : TypeParam{}) << size << " " << i << " " << level;
                ASSERT_EQ(mask[i], hit ? 1 : 0);
            }
            EXPECT_EQ(suppressed, hits);
            EXPECT_EQ(masked, hits);
            EXPECT_EQ(count_hits(std::span<const TypeParam>{x}, level), hits);
        }
    }
}

TEST(ThresholdKernel, IsExactBetweenNeighboursAndNeverReachedByNaN) {
    const float above = std::nextafter(0.1F, 1.0F);
    const std::vector<float> x{0.1F, std::nextafter(0.1F, 0.0F), above, std::numeric_limits<float>::quiet_NaN(),
                               std::numeric_limits<float>::infinity()};

    EXPECT_EQ(count_hits(std::span<const float>{x}, static_cast<double>(0.1F)), 3U);
    EXPECT_EQ(count_hits(std::span<const float>{x}, static_cast<double>(0.1F) + 1e-12), 2U);
}

Reduction reduction(std::initializer_list<std::pair<std::size_t, std::size_t>> dims) {
    Reduction made;
    for (const auto& [extent, factor] : dims) {
        made.extent[made.dims] = extent;
        made.factor[made.dims++] = factor;
    }
    return made;
}

/// Sorts each element into its cell.
template <class T>
void expect_downsampled(const Reduction& by) {
    const auto x = numbers<T>(by.elements());
    std::vector<Real<T>> mean(by.reduced_elements());
    std::vector<T> first(by.reduced_elements());
    std::vector<double> sum(mean.size());
    std::vector<double> size(mean.size());
    std::vector<T> first_seen(mean.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        std::size_t rest = i;
        std::size_t cell = 0;
        std::size_t step = 1;
        for (std::size_t dim = by.dims; dim-- > 0;) {
            cell += rest % by.extent[dim] / by.factor[dim] * step;
            rest /= by.extent[dim];
            step *= by.reduced(dim);
        }
        if (size[cell] == 0) first_seen[cell] = x[i];
        sum[cell] += static_cast<double>(x[i]);
        size[cell] += 1;
    }

    downsample_mean(std::span<const T>{x}, std::span{mean}, by);
    downsample_stride(std::span<const T>{x}, std::span{first}, by);

    EXPECT_EQ(first, first_seen);
    for (std::size_t i = 0; i < mean.size(); ++i) {
        ASSERT_NEAR(static_cast<double>(mean[i]), sum[i] / size[i], 100 * epsilon<T>) << i;
    }
}

TYPED_TEST(Kernel, DownsamplingAgreesWithAPlainReference) {
    for (const auto& by : {reduction({{1, 1}}), reduction({{1, 5}}), reduction({{1000, 1}}), reduction({{1001, 2}}),
                           reduction({{7, 3}, {1025, 4}}), reduction({{8, 2}, {6, 2}}),
                           reduction({{3, 2}, {5, 3}, {9, 7}}), reduction({{0, 2}}), reduction({{4, 2}, {0, 3}}),
                           reduction({{2, 1}, {1, 1}, {3, 2}, {2, 2}, {1, 3}, {2, 1}, {3, 2}, {5, 4}})}) {
        expect_downsampled<TypeParam>(by);
    }
}

TEST(DownsampleKernel, LetsNaNIntoItsCellOnly) {
    const std::vector<double> x{1, not_a_number, 3, 5};
    std::vector<double> y(2);

    downsample_mean(std::span<const double>{x}, std::span{y}, reduction({{4, 2}}));

    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(y[1], 4);
}

template <class T>
void expect_resized(std::size_t height, std::size_t width, std::size_t channels, bool is_smooth) {
    constexpr std::size_t count = 2;
    constexpr std::size_t to_height = 9;
    constexpr std::size_t to_width = 11;
    const auto images = numbers<T>(count * height * width * channels);
    std::vector<float> results(count * (to_height - 2) * (to_width - 4) * channels);
    ImagePlan plan{.height = height,
                   .width = width,
                   .channels = channels,
                   .rows = ImagePlan::axis(height, to_height, 1, to_height - 2, is_smooth),
                   .columns = ImagePlan::axis(width, to_width, 2, to_width - 4, is_smooth),
                   .factor = std::vector<float>(channels, 0.5F),
                   .offset = std::vector<float>(channels, 3.0F)};

    resize_images(std::span<const T>{images}, std::span{results}, plan);

    const auto pixel = [&](std::size_t image, double row, double column, std::size_t channel) {
        const auto at = [&](double r, double c) {
            const auto r_in = static_cast<std::size_t>(std::clamp(r, 0.0, static_cast<double>(height - 1)));
            const auto c_in = static_cast<std::size_t>(std::clamp(c, 0.0, static_cast<double>(width - 1)));
            return static_cast<double>(images[((image * height + r_in) * width + c_in) * channels + channel]);
        };
        const double r = (row + 0.5) * static_cast<double>(height) / to_height;
        const double c = (column + 0.5) * static_cast<double>(width) / to_width;
        if (!is_smooth) return at(std::floor(r), std::floor(c));
        const double top = std::floor(r - 0.5);
        const double left = std::floor(c - 0.5);
        const double down = r - 0.5 - top;
        const double across = c - 0.5 - left;
        return (at(top, left) * (1 - across) + at(top, left + 1) * across) * (1 - down) +
               (at(top + 1, left) * (1 - across) + at(top + 1, left + 1) * across) * down;
    };
    std::size_t i = 0;
    for (std::size_t image = 0; image < count; ++image) {
        for (std::size_t row = 1; row < to_height - 1; ++row) {
            for (std::size_t column = 2; column < to_width - 2; ++column) {
                for (std::size_t channel = 0; channel < channels; ++channel, ++i) {
                    const double reference =
                        pixel(image, static_cast<double>(row), static_cast<double>(column), channel) * 0.5 + 3;
                    ASSERT_NEAR(static_cast<double>(results[i]), reference, 1e-4) << i;
                }
            }
        }
    }
}

TEST(ResizeKernel, AgreesWithAPlainReference) {
    for (const bool is_smooth : {true, false}) {
        for (const auto size : {1U, 2U, 9U, 40U}) {
            expect_resized<std::uint8_t>(size, size + 3, 3, is_smooth);
            expect_resized<float>(size + 3, size, 1, is_smooth);
        }
    }
}

TEST(ResizeKernel, AgreesWithAPlainReferenceWhenManyColumnsBecomeOne) {
    expect_resized<std::uint8_t>(4, 4000, 3, true);
    expect_resized<std::uint8_t>(4, 4000, 3, false);
}

/// Uses another instruction set as long as it lives.
class IsaInUse {
public:
    explicit IsaInUse(Isa isa) : before_{isa_in_use()} { use_isa(isa); }
    ~IsaInUse() { use_isa(before_); }
    IsaInUse(const IsaInUse&) = delete;
    IsaInUse& operator=(const IsaInUse&) = delete;

private:
    Isa before_;
};

TEST(IsaChoice, IsTheWidestThereIs) {
    EXPECT_EQ(available_isas().front(), Isa::baseline);
    EXPECT_EQ(isa_in_use(), available_isas().back());
}

/// The bytes of everything that kernels make of some numbers.
template <class T>
std::vector<std::byte> results_of_kernels(std::size_t count) {
    std::vector<std::byte> all;
    const auto add = [&](const auto& values) {
        const auto bytes = std::as_bytes(std::span{values});
        all.insert(all.end(), bytes.begin(), bytes.end());
    };
    const auto x = numbers<T>(count);
    const std::span<const T> view{x};
    std::vector<Real<T>> y(count);
    std::vector<T> same(count);
    std::vector<std::uint8_t> mask(count);
    std::vector<double> sums(count, 0.1);
    affine(view, std::span{y}, 1.1, 0.3);
    add(y);
    square(view, std::span{y});
    add(y);
    accumulate(view, std::span{sums});
    add(sums);
    add(std::array{suppress_zeros(view, std::span{same}, 3.3), mask_hits(view, std::span{mask}, 3.3),
                   count_hits(view, 3.3)});
    add(same);
    add(mask);
    const Statistics found = statistics(view);
    add(std::array{found.min, found.max, found.mean, found.squares, static_cast<double>(found.count)});
    Histogram histogram{13, -90, 91};
    histogram.add(view);
    for (std::size_t bin = 0; bin < 13; ++bin) add(std::array{histogram.in_bin(bin)});
    for (const std::size_t factor : {1U, 2U, 3U, 4U}) {
        Reduction by{.dims = 2};
        by.extent = {3, count / 3};
        by.factor = {2, factor};
        std::vector<Real<T>> cells(by.reduced_elements());
        downsample_mean(view.first(by.elements()), std::span{cells}, by);
        add(cells);
    }
    return all;
}

TYPED_TEST(Kernel, GivesTheSameBitsWithEachInstructionSet) {
    for (const std::size_t count : sizes) {
        const auto expected = [&] {
            const IsaInUse baseline{Isa::baseline};
            return results_of_kernels<TypeParam>(count);
        }();
        for (const Isa isa : available_isas()) {
            const IsaInUse use{isa};
            EXPECT_EQ(results_of_kernels<TypeParam>(count), expected) << name_of(isa) << ' ' << count;
        }
    }
}

TYPED_TEST(Kernel, GivesTheSameBitsWithAnyNumberOfThreads) {
    for (const std::size_t count : {0U, 4097U, 50'001U}) {
        const auto expected = results_of_kernels<TypeParam>(count);
        for (const int threads : {1, 2, 5}) {
            MorselPool pool{{.threads = threads, .morsel_bytes = 16U << 10U, .target_utilization = 0}};
            const ExecutorScope scope{&pool};

            EXPECT_EQ(results_of_kernels<TypeParam>(count), expected) << threads << ' ' << count;
            EXPECT_EQ(pool.counts().pieces > 0, count > 0);
        }
    }
}

TEST(ResizeKernel, GivesTheSameBitsWithAnyNumberOfThreads) {
    const auto images = numbers<float>(50 * 300 * 3);
    const ImagePlan plan{.height = 50,
                         .width = 300,
                         .channels = 3,
                         .rows = ImagePlan::axis(50, 33, 0, 33, true),
                         .columns = ImagePlan::axis(300, 201, 0, 201, true),
                         .factor = {0.3F, 0.7F, 1.1F},
                         .offset = {0.1F, 0.2F, 0.3F}};
    std::vector<float> expected(33 * 201 * 3);
    resize_images(std::span<const float>{images}, std::span{expected}, plan);
    MorselPool pool{{.threads = 3, .morsel_bytes = 16U << 10U, .target_utilization = 0}};
    const ExecutorScope scope{&pool};

    std::vector<float> result(expected.size());
    resize_images(std::span<const float>{images}, std::span{result}, plan);

    EXPECT_EQ(std::memcmp(result.data(), expected.data(), result.size() * sizeof(float)), 0);
    EXPECT_GT(pool.counts().pieces, 1U);
}

TEST(ResizeKernel, GivesTheSameBitsWithEachInstructionSet) {
    const auto images = numbers<float>(50 * 300 * 3);
    ImagePlan plan{.height = 50,
                   .width = 300,
                   .channels = 3,
                   .rows = ImagePlan::axis(50, 33, 0, 33, true),
                   .columns = ImagePlan::axis(300, 201, 0, 201, true),
                   .factor = {0.3F, 0.7F, 1.1F},
                   .offset = {0.1F, 0.2F, 0.3F}};
    std::vector<std::vector<float>> results;
    for (const Isa isa : available_isas()) {
        const IsaInUse use{isa};
        results.emplace_back(33 * 201 * 3);
        resize_images(std::span<const float>{images}, std::span{results.back()}, plan);
    }

    for (const auto& result : results) {
        EXPECT_EQ(std::memcmp(result.data(), results.front().data(), result.size() * sizeof(float)), 0);
    }
}

TEST(ResizeKernel, TakesNoImages) {
    ImagePlan plan;
    plan.height = plan.width = 2;
    plan.channels = 1;

    EXPECT_THROW(resize_images(std::span<const float>{}, {}, plan), Error);
    plan.factor = plan.offset = {1};
    EXPECT_NO_THROW(resize_images(std::span<const float>{}, {}, plan));
}

/// One orbit after another, one logarithm a step. What is volatile is rounded after each operation on any machine.
std::vector<double> plain_orbits(const std::vector<double>& points, const LogisticMap& map) {
    std::vector<double> rows;
    for (std::size_t point = 0; point < points.size(); point += map.columns) {
        const double r = points[point + map.column];
        std::vector<double> bins(map.bins);
        volatile double x = map.start;
        double exponent = 0;
        for (std::uint64_t step = 0; step < map.settle + map.steps; ++step) {
            if (step >= map.settle) exponent += std::log(std::abs(r * (1 - 2 * x))) / static_cast<double>(map.steps);
            volatile const double rest = 1 - x;
            x = r * x;
            x = x * rest;
            if (step < map.settle || !(x >= 0 && x <= 1)) continue;
            const auto bin = static_cast<std::size_t>(x * static_cast<double>(map.bins));
            bins[std::min(bin, map.bins - 1)] += 1;
        }
        const auto from = points.begin() + static_cast<std::ptrdiff_t>(point);
        rows.insert(rows.end(), from, from + static_cast<std::ptrdiff_t>(map.columns));
        rows.push_back(exponent);
        rows.insert(rows.end(), bins.begin(), bins.end());
    }
    return rows;
}

/// Points whose last column is r, from 0 to 4.
std::vector<double> orbit_points(std::size_t count, std::size_t columns) {
    std::mt19937_64 random{1};
    std::uniform_real_distribution<double> from{0.0, 4.0};
    std::vector<double> points(count * columns);
    std::generate(points.begin(), points.end(), [&] { return from(random); });
    return points;
}

TEST(LogisticMapKernel, AgreesWithAPlainReference) {
    for (const std::size_t count : {0U, 1U, 7U, 8U, 9U, 100U}) {
        for (const std::size_t columns : {1U, 3U}) {
            for (const std::uint64_t steps : {1U, 7U, 8U, 9U, 1000U}) {
                const LogisticMap map{
                    .columns = columns, .column = columns - 1, .settle = 30, .steps = steps, .bins = 37};
                const auto points = orbit_points(count, columns);
                std::vector<double> rows(count * map.row_elements(), 99);

                follow_orbits(points, rows, map);

                const auto reference = plain_orbits(points, map);
                for (std::size_t i = 0; i < rows.size(); ++i) {
                    const bool is_exponent = i % map.row_elements() == columns;
                    ASSERT_NEAR(rows[i], reference[i], is_exponent ? 1e-11 : 0) << i;
                }
            }
        }
    }
}

double exponent_of(double r, double start = 0.1) {
    const LogisticMap map{.start = start, .settle = 1000, .steps = 100'000, .bins = 1};
    std::vector<double> row(map.row_elements());
    follow_orbits(std::vector{r}, row, map);
    return row[1];
}

TEST(LogisticMapKernel, HasTheKnownExponents) {
    EXPECT_NEAR(exponent_of(0.5), std::log(0.5), 1e-9);        // to 0, slope r
    EXPECT_NEAR(exponent_of(2.9), std::log(0.9), 1e-9);        // to 1 - 1/r, slope 2 - r
    EXPECT_NEAR(exponent_of(3.4), std::log(0.76) / 2, 1e-9);   // a pair, slope 4 + 2 r - r^2
    EXPECT_NEAR(exponent_of(4.0), std::log(2.0), 1e-3);        // chaos
    EXPECT_NEAR(exponent_of(1e-200), std::log(1e-200), 1e-9);  // no product of them may become 0
    EXPECT_EQ(exponent_of(2.0, 0.5), -infinity);               // stays at 1/2
    EXPECT_EQ(exponent_of(0.0), -infinity);
}

TEST(LogisticMapKernel, CountsNothingThatLeavesTheInterval) {
    const LogisticMap map{.settle = 0, .steps = 100, .bins = 3};
    const std::vector<double> points{5, -3, infinity, not_a_number};
    std::vector<double> rows(4 * map.row_elements());

    follow_orbits(points, rows, map);

    for (std::size_t i = 0; i < points.size(); ++i) {
        const auto bins = std::span{rows}.subspan(i * 5 + 2, 3);
        EXPECT_LT(std::accumulate(bins.begin(), bins.end(), 0.0), 20) << points[i];
        EXPECT_FALSE(std::isfinite(rows[i * 5 + 1])) << points[i];
    }
}

TEST(LogisticMapKernel, RefusesSizesThatDisagree) {
    std::vector<double> rows(103);
    EXPECT_THROW(follow_orbits(std::vector<double>(1), rows, {}), Error);
    EXPECT_THROW(follow_orbits(std::vector<double>(3), rows, {.columns = 2}), Error);
}

TYPED_TEST(Kernel, MayWorkInPlaceIfItsResultsHaveItsType) {
    if constexpr (std::is_same_v<TypeParam, Real<TypeParam>>) {
        std::vector<TypeParam> x{1, 2, 3};

        affine(std::span<const TypeParam>{x}, std::span<TypeParam>{x}, 10, 1);
        square(std::span<const TypeParam>{x}, std::span<TypeParam>{x});

        EXPECT_EQ(x, (std::vector<TypeParam>{121, 441, 961}));
    }
}

TYPED_TEST(Kernel, RefusesAnotherNumberOfResults) {
    const std::vector<TypeParam> x(3);
    std::vector<TypeParam> same(2);
    std::vector<Real<TypeParam>> y(2);
    std::vector<std::uint8_t> mask(2);

    EXPECT_THROW(affine(std::span<const TypeParam>{x}, std::span{y}, 1, 1), Error);
    EXPECT_THROW(square(std::span<const TypeParam>{x}, std::span{y}), Error);
    EXPECT_THROW(scale_by_table(std::span<const TypeParam>{x}, std::span{y}, {y, y}), Error);
    EXPECT_THROW(suppress_zeros(std::span<const TypeParam>{x}, std::span{same}, 1), Error);
    EXPECT_THROW(mask_hits(std::span<const TypeParam>{x}, std::span{mask}, 1), Error);
    EXPECT_THROW(downsample_mean(std::span<const TypeParam>{x}, std::span{y}, reduction({{3, 3}})), Error);
    EXPECT_THROW(downsample_stride(std::span<const TypeParam>{x}, std::span{same}, reduction({{2, 1}})), Error);
}

std::uint32_t plain_crc32c(std::span<const std::byte> bytes) {
    std::uint32_t crc = ~0U;
    for (const std::byte byte : bytes) {
        crc ^= static_cast<std::uint32_t>(byte);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? 0x82f63b78U : 0U);
    }
    return ~crc;
}

TEST(Crc32c, HasTheKnownValues) {
    const auto of = [](std::string_view text) { return crc32c(std::as_bytes(std::span{text})); };

    EXPECT_EQ(of(""), 0U);
    EXPECT_EQ(of("a"), 0xc1d04330U);
    EXPECT_EQ(of("123456789"), 0xe3069283U);
    EXPECT_EQ(of(std::string(32, '\0')), 0x8a9136aaU);
    EXPECT_EQ(of(std::string(32, '\xff')), 0x62a8ab43U);
}

TEST(Crc32c, AgreesWithAPlainReferenceAtEverySizeAndPlace) {
    const auto words = numbers<std::uint8_t>(50'000);
    const auto bytes = std::as_bytes(std::span{words});
    for (std::size_t size = 0; size < 2000; size += size < 40 ? 1 : 97) {
        const auto part = bytes.subspan(size % 13, size);
        ASSERT_EQ(crc32c(part), plain_crc32c(part)) << size;
        ASSERT_EQ(crc32c_by_table(part), plain_crc32c(part)) << size;
        const auto first = part.first(size / 3);
        const auto rest = part.subspan(size / 3);
        ASSERT_EQ(crc32c(rest, crc32c(first)), plain_crc32c(part)) << size;
        ASSERT_EQ(crc32c_by_table(rest, crc32c_by_table(first)), plain_crc32c(part)) << size;
    }
    EXPECT_EQ(crc32c(bytes.subspan(1)), plain_crc32c(bytes.subspan(1)));
    EXPECT_EQ(crc32c_by_table(bytes.subspan(1)), plain_crc32c(bytes.subspan(1)));
}

}  // namespace
}  // namespace penstock
