#pragma once

#include <cstddef>
#include <span>

#include "kernels/function.hpp"
#include "kernels/real.hpp"

namespace penstock {

/// y[i] = a * x[i] + b
template <class T>
struct Affine {
    const T* x;
    Real<T>* y;
    Real<T> a;
    Real<T> b;

    PENSTOCK_FUNCTION void operator()(std::size_t i) const { y[i] = a * static_cast<Real<T>>(x[i]) + b; }
};

/// Runs `Affine` on the host. x and y may be the same memory, but not overlap otherwise.
/// @throws Error{invalid_input} if their sizes differ.
template <class T>
void affine(std::span<const T> x, std::span<Real<T>> y, double a, double b);

}  // namespace penstock
