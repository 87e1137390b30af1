#pragma once

#include <cstddef>
#include <span>

#include "kernels/function.hpp"

namespace penstock {

/// y[i] = a * x[i] + b
template <class T>
struct Affine {
    const T* x;
    T* y;
    T a;
    T b;

    PENSTOCK_FUNCTION void operator()(std::size_t i) const { y[i] = a * x[i] + b; }
};

/// Runs `Affine` on the host. x and y may be the same memory, but not overlap otherwise.
/// @throws Error{invalid_input} if their sizes differ.
void affine(std::span<const float> x, std::span<float> y, float a, float b);
void affine(std::span<const double> x, std::span<double> y, double a, double b);

}  // namespace penstock
