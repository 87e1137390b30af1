#include "kernels/scale_by_table.hpp"

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"

namespace penstock {

template <class T>
void scale_by_table(std::span<const T> x, std::span<Real<T>> y, const ScaleTable<Real<T>>& table) {
    const std::size_t width = table.offset.size();
    if (x.size() != y.size() || width == 0 || width != table.factor.size()) {
        throw Error{Errc::invalid_input, "scale_by_table needs as many results as elements and offsets as factors"};
    }
    for_each_index((x.size() + width - 1) / width,
                   ScaleByTable<T>{x.data(), y.data(), table.offset.data(), table.factor.data(), x.size(), width}, 1);
}

#define PENSTOCK_SCALE_BY_TABLE(T) \
    template void scale_by_table(std::span<const T>, std::span<Real<T>>, const ScaleTable<Real<T>>&);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_SCALE_BY_TABLE)

}  // namespace penstock
