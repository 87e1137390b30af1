#include "kernels/square.hpp"

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"

namespace penstock {

template <class T>
void square(std::span<const T> x, std::span<Real<T>> y) {
    if (x.size() != y.size()) throw Error{Errc::invalid_input, "square needs as many results as elements"};
    for_each_index(x.size(), Square<T>{x.data(), y.data()});
}

#define PENSTOCK_SQUARE(T) template void square(std::span<const T>, std::span<Real<T>>);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_SQUARE)

}  // namespace penstock
