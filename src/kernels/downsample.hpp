#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "kernels/real.hpp"

namespace penstock {

/// A row-major array of up to 8 dimensions and by how much each becomes smaller. A last cell that is cut is kept.
struct Reduction {
    static constexpr std::size_t max_dims = 8;

    std::size_t dims = 0;
    std::array<std::size_t, max_dims> extent{};
    std::array<std::size_t, max_dims> factor{};  ///< At least 1.

    [[nodiscard]] std::size_t reduced(std::size_t dim) const noexcept {
        return extent[dim] / factor[dim] + (extent[dim] % factor[dim] != 0 ? 1 : 0);
    }
    [[nodiscard]] std::size_t elements() const noexcept;
    [[nodiscard]] std::size_t reduced_elements() const noexcept;
};

/// Each element of y is the mean of a cell of x, added up in double precision. On the host.
/// @throws Error{invalid_input} if the sizes do not fit the reduction.
template <class T>
void downsample_mean(std::span<const T> x, std::span<Real<T>> y, const Reduction& reduction);

/// Each element of y is the first of a cell of x. On the host.
/// @throws Error{invalid_input} if the sizes do not fit the reduction.
template <class T>
void downsample_stride(std::span<const T> x, std::span<T> y, const Reduction& reduction);

}  // namespace penstock
