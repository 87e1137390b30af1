#pragma once

#include <cstddef>
#include <span>

#include "kernels/function.hpp"
#include "kernels/real.hpp"

namespace penstock {

/// One row of y = (x - offset) * factor, where the tables hold a value for each element of a row.
template <class T>
struct ScaleByTable {
    const T* x;
    Real<T>* y;
    const Real<T>* offset;
    const Real<T>* factor;
    std::size_t count;
    std::size_t width;

    [[nodiscard]] std::size_t index_bytes() const { return width * sizeof(T); }

    PENSTOCK_FUNCTION void operator()(std::size_t row) const {
        const std::size_t begin = row * width;
        const std::size_t columns = width < count - begin ? width : count - begin;
        const T* const from = x + begin;
        Real<T>* const to = y + begin;
        for (std::size_t i = 0; i < columns; ++i) to[i] = (static_cast<Real<T>>(from[i]) - offset[i]) * factor[i];
    }
};

/// An offset and a factor for each element, or for each channel, which are repeated for the sake of long rows.
template <class R>
struct ScaleTable {
    std::span<const R> offset;
    std::span<const R> factor;
};

/// y[i] = (x[i] - offset[i % n]) * factor[i % n], on the host. x and y may be the same memory.
/// @throws Error{invalid_input} if sizes differ or the table is empty.
template <class T>
void scale_by_table(std::span<const T> x, std::span<Real<T>> y, const ScaleTable<Real<T>>& table);

}  // namespace penstock
