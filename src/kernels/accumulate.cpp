#include "kernels/accumulate.hpp"

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"
#include "kernels/real.hpp"

namespace penstock {

template <class T>
void accumulate(std::span<const T> x, std::span<double> sum) {
    if (x.size() != sum.size()) throw Error{Errc::invalid_input, "accumulate needs as many sums as elements"};
    for_each_index(x.size(), Accumulate<T>{x.data(), sum.data()});
}

#define PENSTOCK_ACCUMULATE(T) template void accumulate(std::span<const T>, std::span<double>);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_ACCUMULATE)

}  // namespace penstock
