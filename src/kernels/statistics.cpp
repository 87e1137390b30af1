#include "kernels/statistics.hpp"

#include <algorithm>
#include <array>

#include "kernels/parallel.hpp"
#include "kernels/real.hpp"

namespace penstock {
namespace {

PENSTOCK_FUNCTION bool is_finite(double value) {
    return value - value == 0;  // neither inf - inf nor NaN - NaN is 0
}

/// Sums are made of so many parts, whatever the width of the CPU's vectors, and joined in a fixed order: the result
/// does not depend on the CPU. So many that the parts are added up in memory, in loops that compilers vectorise.
constexpr std::size_t lanes = 64;

PENSTOCK_FUNCTION inline double joined(std::array<double, lanes>& parts) {
    for (std::size_t half = lanes / 2; half > 0; half /= 2) {
        for (std::size_t k = 0; k < half; ++k) parts[k] += parts[k + half];
    }
    return parts[0];
}

template <class T>
struct BlockStatistics {
    const T* x;

    PENSTOCK_FUNCTION double sum(std::size_t begin, std::size_t end) const {
        std::array<double, lanes> parts{};
        std::size_t i = begin;
        for (; i + 4 * lanes <= end; i += 4 * lanes) {
            const T* const row = x + i;
#pragma omp simd
            for (std::size_t k = 0; k < lanes; ++k) {
                parts[k] += (static_cast<double>(row[k]) + static_cast<double>(row[k + lanes])) +
                            (static_cast<double>(row[k + 2 * lanes]) + static_cast<double>(row[k + 3 * lanes]));
            }
        }
        for (std::size_t k = 0; i < end; ++i, ++k) parts[k % lanes] += static_cast<double>(x[i]);
        return joined(parts);
    }

    PENSTOCK_FUNCTION void find_range(std::size_t begin, std::size_t end, Statistics& found) const {
        std::array<T, lanes> least;
        std::array<T, lanes> most;
        least.fill(x[begin]);
        most.fill(x[begin]);
        std::size_t i = begin;
        for (; i + lanes <= end; i += lanes) {
            const T* const row = x + i;
#pragma omp simd
            for (std::size_t k = 0; k < lanes; ++k) {
                least[k] = row[k] < least[k] ? row[k] : least[k];
                most[k] = row[k] > most[k] ? row[k] : most[k];
            }
        }
        for (std::size_t k = 0; i < end; ++i, ++k) {
            least[k] = x[i] < least[k] ? x[i] : least[k];
            most[k] = x[i] > most[k] ? x[i] : most[k];
        }
        found.min = static_cast<double>(*std::min_element(least.begin(), least.end()));
        found.max = static_cast<double>(*std::max_element(most.begin(), most.end()));
    }

    /// Sum of the squared distances from the mean, corrected for its rounding.
    PENSTOCK_FUNCTION double squares(std::size_t begin, std::size_t end, double mean) const {
        std::array<double, lanes> rest{};
        std::array<double, lanes> square{};
        std::size_t i = begin;
        for (; i + 2 * lanes <= end; i += 2 * lanes) {
            const T* const row = x + i;
#pragma omp simd
            for (std::size_t k = 0; k < lanes; ++k) {
                const double first = static_cast<double>(row[k]) - mean;
                const double second = static_cast<double>(row[k + lanes]) - mean;
                rest[k] += first + second;
                square[k] += first * first + second * second;
            }
        }
        for (std::size_t k = 0; i < end; ++i, ++k) {
            const double distance = static_cast<double>(x[i]) - mean;
            rest[k % lanes] += distance;
            square[k % lanes] += distance * distance;
        }
        const double left = joined(rest);
        return std::max(0.0, joined(square) - left * left / static_cast<double>(end - begin));
    }

    /// One number after another, for blocks in which some are not finite.
    PENSTOCK_FUNCTION Statistics one_by_one(std::size_t begin, std::size_t end) const {
        Statistics found;
        for (; begin < end; ++begin) {
            const auto value = static_cast<double>(x[begin]);
            if (is_finite(value)) {
                found.join({.count = 1, .min = value, .max = value, .mean = value});
            } else {
                ++found.non_finite;
            }
        }
        return found;
    }

    PENSTOCK_FUNCTION Statistics operator()(std::size_t begin, std::size_t end) const {
        const double total = sum(begin, end);
        // Whatever is not finite shows in the sum. So does one beyond the range of a double.
        if (!is_finite(total)) return one_by_one(begin, end);
        Statistics found{.count = end - begin, .mean = total / static_cast<double>(end - begin)};
        find_range(begin, end, found);
        found.squares = squares(begin, end, found.mean);
        return found;
    }
};

}  // namespace

double Statistics::variance() const noexcept {
    return count == 0 ? std::numeric_limits<double>::quiet_NaN() : squares / static_cast<double>(count);
}

void Statistics::join(const Statistics& other) noexcept {
    non_finite += other.non_finite;
    if (other.count == 0) return;
    const auto mine = static_cast<double>(count);
    const auto theirs = static_cast<double>(other.count);
    const double distance = other.mean - mean;
    const double share = theirs / (mine + theirs);
    mean += distance * share;
    squares += other.squares + distance * distance * mine * share;
    count += other.count;
    min = std::min(min, other.min);
    max = std::max(max, other.max);
}

template <class T>
Statistics statistics(std::span<const T> x) {
    return reduce_blocks<Statistics>(x.size(), BlockStatistics<T>{x.data()});
}

#define PENSTOCK_STATISTICS(T) template Statistics statistics(std::span<const T>);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_STATISTICS)

}  // namespace penstock
