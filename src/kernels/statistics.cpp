#include "kernels/statistics.hpp"

#include <algorithm>

#include "kernels/parallel.hpp"
#include "kernels/real.hpp"

namespace penstock {
namespace {

PENSTOCK_FUNCTION bool is_finite(double value) {
    return value - value == 0;  // neither inf - inf nor NaN - NaN is 0
}

// The loops below add in any order ("omp simd"), which a compiler may not choose to do by itself.
template <class T>
struct BlockStatistics {
    const T* x;

    PENSTOCK_FUNCTION double sum(std::size_t begin, std::size_t end) const {
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (std::size_t i = begin; i < end; ++i) total += static_cast<double>(x[i]);
        return total;
    }

    PENSTOCK_FUNCTION void find_range(std::size_t begin, std::size_t end, Statistics& found) const {
        T least = x[begin];
        T most = x[begin];
#pragma omp simd reduction(min : least) reduction(max : most)
        for (std::size_t i = begin; i < end; ++i) {
            least = x[i] < least ? x[i] : least;
            most = x[i] > most ? x[i] : most;
        }
        found.min = static_cast<double>(least);
        found.max = static_cast<double>(most);
    }

    /// Sum of the squared distances from the mean, corrected for its rounding.
    PENSTOCK_FUNCTION double squares(std::size_t begin, std::size_t end, double mean) const {
        double rest = 0;
        double square = 0;
#pragma omp simd reduction(+ : rest, square)
        for (std::size_t i = begin; i < end; ++i) {
            const double distance = static_cast<double>(x[i]) - mean;
            rest += distance;
            square += distance * distance;
        }
        return std::max(0.0, square - rest * rest / static_cast<double>(end - begin));
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
