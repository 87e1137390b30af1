#pragma once

#include <cstdint>
#include <limits>
#include <span>

namespace penstock {

/// Moments of a set of numbers; those that are not finite are counted and left out.
struct Statistics {
    std::uint64_t count = 0;  ///< Finite ones.
    std::uint64_t non_finite = 0;
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();
    double mean = 0;
    double squares = 0;  ///< Sum of the squared distances from the mean.

    /// Of the population; NaN for no numbers.
    [[nodiscard]] double variance() const noexcept;
    /// Adds another set (Chan's update): no large numbers are subtracted from each other.
    void join(const Statistics& other) noexcept;
};

/// On the host, in blocks of two passes each.
template <class T>
[[nodiscard]] Statistics statistics(std::span<const T> x);

}  // namespace penstock
