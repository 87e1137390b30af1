#pragma once

#include <cstddef>
#include <span>

#include "kernels/function.hpp"

namespace penstock {

/// sum[i] += x[i]
template <class T>
struct Accumulate {
    const T* x;
    double* sum;

    PENSTOCK_FUNCTION void operator()(std::size_t i) const { sum[i] += static_cast<double>(x[i]); }
};

/// Runs `Accumulate` on the host.
/// @throws Error{invalid_input} if the sizes differ.
template <class T>
void accumulate(std::span<const T> x, std::span<double> sum);

}  // namespace penstock
