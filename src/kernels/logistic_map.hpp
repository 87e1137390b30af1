#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace penstock {

/// How orbits of the logistic map x -> r x (1 - x) are followed.
struct LogisticMap {
    std::size_t columns = 1;      ///< Of a point.
    std::size_t column = 0;       ///< The one that is r.
    double start = 0.1;           ///< First x.
    std::uint64_t settle = 1000;  ///< Steps before the orbit is looked at.
    std::uint64_t steps = 1000;   ///< Steps that are looked at.
    std::size_t bins = 100;       ///< Of x, from 0 to 1.

    [[nodiscard]] std::size_t row_elements() const noexcept { return columns + 1 + bins; }
};

/// For each point a row: its own columns, the Lyapunov exponent (mean of ln |r (1 - 2 x)|; -inf where the orbit meets
/// x = 1/2), and the number of steps that end in each bin. What leaves the interval from 0 to 1 is in no bin. On the
/// host; the same bit for bit, but for the logarithm, on every machine.
/// REQUIRES: column < columns, steps > 0, bins > 0.
/// @throws Error{invalid_input} if sizes do not fit each other.
void follow_orbits(std::span<const double> points, std::span<double> rows, const LogisticMap& map);

}  // namespace penstock
