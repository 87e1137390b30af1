#pragma once

#include <cstddef>
#include <span>

#include "kernels/function.hpp"
#include "kernels/real.hpp"

namespace penstock {

/// y[i] = x[i] * x[i]
template <class T>
struct Square {
    const T* x;
    Real<T>* y;

    PENSTOCK_FUNCTION void operator()(std::size_t i) const {
        const auto value = static_cast<Real<T>>(x[i]);
        y[i] = value * value;
    }
};

/// Runs `Square` on the host. x and y may be the same memory, but not overlap otherwise.
/// @throws Error{invalid_input} if their sizes differ.
template <class T>
void square(std::span<const T> x, std::span<Real<T>> y);

}  // namespace penstock
