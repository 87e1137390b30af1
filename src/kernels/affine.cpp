#include "kernels/affine.hpp"

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"

namespace penstock {

template <class T>
void affine(std::span<const T> x, std::span<Real<T>> y, double a, double b) {
    if (x.size() != y.size()) throw Error{Errc::invalid_input, "affine needs as many results as elements"};
    for_each_index(x.size(), Affine<T>{x.data(), y.data(), static_cast<Real<T>>(a), static_cast<Real<T>>(b)});
}

#define PENSTOCK_AFFINE(T) template void affine(std::span<const T>, std::span<Real<T>>, double, double);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_AFFINE)

}  // namespace penstock
