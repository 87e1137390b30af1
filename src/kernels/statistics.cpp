#include "kernels/statistics.hpp"

#include <algorithm>
#include <array>
#include <type_traits>

#include "kernels/parallel.hpp"
#include "kernels/real.hpp"

namespace penstock {
namespace {

/// Sums are kept apart for the compiler to vectorise them: it may not change the order of additions itself.
constexpr std::size_t lanes = 8;

template <class T>
PENSTOCK_FUNCTION bool is_finite(T value) {
    return std::is_integral_v<T> || value - value == T{};  // neither inf - inf nor NaN - NaN equals 0
}

template <class T>
struct BlockStatistics {
    const T* x;

    struct First {
        std::array<double, lanes> count{};
        std::array<double, lanes> sum{};
        std::array<T, lanes> min;
        std::array<T, lanes> max;
    };

    PENSTOCK_FUNCTION static void add(First& first, std::size_t lane, T value) {
        const bool finite = is_finite(value);
        const T known = finite ? value : T{};
        first.count[lane] += finite ? 1.0 : 0.0;
        first.sum[lane] += static_cast<double>(known);
        first.min[lane] = finite && value < first.min[lane] ? value : first.min[lane];
        first.max[lane] = finite && value > first.max[lane] ? value : first.max[lane];
    }

    PENSTOCK_FUNCTION First first_pass(std::size_t begin, std::size_t end) const {
        First first;
        first.min.fill(std::numeric_limits<T>::max());
        first.max.fill(std::numeric_limits<T>::lowest());
        std::size_t i = begin;
        for (; i + lanes <= end; i += lanes) {
            for (std::size_t lane = 0; lane < lanes; ++lane) add(first, lane, x[i + lane]);
        }
        for (; i < end; ++i) add(first, 0, x[i]);
        return first;
    }

    /// Sum of the squared distances from `mean`, corrected for its rounding.
    PENSTOCK_FUNCTION double squares(std::size_t begin, std::size_t end, double mean, double count) const {
        std::array<double, lanes> sum{};
        std::array<double, lanes> square{};
        const auto add_one = [&](std::size_t lane, T value) {
            const double distance = is_finite(value) ? static_cast<double>(value) - mean : 0.0;
            sum[lane] += distance;
            square[lane] += distance * distance;
        };
        std::size_t i = begin;
        for (; i + lanes <= end; i += lanes) {
            for (std::size_t lane = 0; lane < lanes; ++lane) add_one(lane, x[i + lane]);
        }
        for (; i < end; ++i) add_one(0, x[i]);
        double rest = 0;
        double total = 0;
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            rest += sum[lane];
            total += square[lane];
        }
        return std::max(0.0, total - rest * rest / count);
    }

    PENSTOCK_FUNCTION Statistics operator()(std::size_t begin, std::size_t end) const {
        const First first = first_pass(begin, end);
        double count = 0;
        double sum = 0;
        T min = first.min[0];
        T max = first.max[0];
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            count += first.count[lane];
            sum += first.sum[lane];
            min = std::min(min, first.min[lane]);
            max = std::max(max, first.max[lane]);
        }
        Statistics result;
        result.count = static_cast<std::uint64_t>(count);
        result.non_finite = end - begin - result.count;
        if (result.count == 0) return result;
        result.min = static_cast<double>(min);
        result.max = static_cast<double>(max);
        result.mean = sum / count;
        result.squares = squares(begin, end, result.mean, count);
        return result;
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
