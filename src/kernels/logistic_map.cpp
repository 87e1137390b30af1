#include "kernels/logistic_map.hpp"

#include <array>
#include <cmath>
#include <limits>

#include <penstock/error.hpp>

#include "kernels/function.hpp"
#include "kernels/parallel.hpp"

namespace penstock {
namespace {

/// Orbits that go in step. A step waits for the one before it; those of other orbits fill the time.
constexpr std::size_t lanes = 8;

/// Factors 1 - 2 x between two logarithms: none but 0 is below 2^-53, so the product stays in the range of a double.
constexpr std::uint64_t factors = 8;

using Lanes = std::array<double, lanes>;

struct FollowOrbits {
    const double* points;
    double* rows;
    std::size_t count;
    LogisticMap map;

    /// It computes much on little data: each lot is worth a morsel.
    [[nodiscard]] static std::size_t index_bytes() { return std::numeric_limits<std::size_t>::max(); }

    PENSTOCK_FUNCTION void operator()(std::size_t lot) const {
        const std::size_t first = lot * lanes;
        const std::size_t many = lanes < count - first ? lanes : count - first;
        Lanes r{};
        Lanes x{};
        for (std::size_t i = 0; i < many; ++i) {
            r[i] = begin_row(first + i);
            x[i] = map.start;
        }
        for (std::uint64_t done = 0; done < map.settle; ++done) step(r, x);
        Lanes sum{};
        for (std::uint64_t done = 0; done < map.steps; done += factors) {
            const std::uint64_t rest = map.steps - done;
            look_at(first, many, r, x, rest < factors ? rest : factors, sum);
        }
        for (std::size_t i = 0; i < many; ++i) {
            row(first + i)[map.columns] = std::log(std::abs(r[i])) + sum[i] / static_cast<double>(map.steps);
        }
    }

    [[nodiscard]] PENSTOCK_FUNCTION double* row(std::size_t point) const {
        return rows + point * (map.columns + 1 + map.bins);
    }

    /// Copies the point and clears the bins. @return r
    PENSTOCK_FUNCTION double begin_row(std::size_t point) const {
        const double* const from = points + point * map.columns;
        double* const to = row(point);
        for (std::size_t i = 0; i < map.columns; ++i) to[i] = from[i];
        for (std::size_t i = 0; i < map.bins; ++i) to[map.columns + 1 + i] = 0;
        return from[map.column];
    }

    PENSTOCK_FUNCTION static void step(const Lanes& r, Lanes& x) {
#pragma omp simd
        for (std::size_t i = 0; i < lanes; ++i) x[i] = r[i] * x[i] * (1 - x[i]);
    }

    PENSTOCK_FUNCTION void look_at(std::size_t first, std::size_t many, const Lanes& r, Lanes& x, std::uint64_t steps,
                                   Lanes& sum) const {
        Lanes product;
        for (auto& one : product) one = 1;
        for (std::uint64_t done = 0; done < steps; ++done) {
#pragma omp simd
            for (std::size_t i = 0; i < lanes; ++i) product[i] *= 1 - 2 * x[i];
            step(r, x);
            for (std::size_t i = 0; i < many; ++i) count_in_bin(row(first + i) + map.columns + 1, x[i]);
        }
        for (std::size_t i = 0; i < many; ++i) sum[i] += std::log(std::abs(product[i]));
    }

    PENSTOCK_FUNCTION void count_in_bin(double* bins, double x) const {
        if (!(x >= 0 && x <= 1)) return;
        const auto bin = static_cast<std::size_t>(x * static_cast<double>(map.bins));
        bins[bin < map.bins ? bin : map.bins - 1] += 1;
    }
};

}  // namespace

void follow_orbits(std::span<const double> points, std::span<double> rows, const LogisticMap& map) {
    const std::size_t count = points.size() / map.columns;
    if (points.size() != count * map.columns || rows.size() != count * map.row_elements()) {
        throw Error{Errc::invalid_input, "points and rows must have the sizes of the map"};
    }
    for_each_index((count + lanes - 1) / lanes, FollowOrbits{points.data(), rows.data(), count, map}, 1);
}

}  // namespace penstock
