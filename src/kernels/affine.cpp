#include "kernels/affine.hpp"

#include <penstock/error.hpp>

#if defined(PENSTOCK_HAS_KOKKOS)
#include <Kokkos_Core.hpp>
#endif

namespace penstock {
namespace {

#if defined(PENSTOCK_HAS_KOKKOS)

/// Starts Kokkos at the first kernel of a process, unless the program did: not earlier, since it does not survive a
/// fork.
void start_kokkos() {
    if (Kokkos::is_initialized()) return;
    static const Kokkos::ScopeGuard guard;
}

template <class Kernel>
void for_each_index(std::size_t count, const Kernel& kernel) {
    using Space = Kokkos::DefaultHostExecutionSpace;
    start_kokkos();
    Kokkos::parallel_for(Kokkos::RangePolicy<Space, Kokkos::IndexType<std::size_t>>(0, count), kernel);
    Space{}.fence();
}

#else

template <class Kernel>
void for_each_index(std::size_t count, const Kernel& kernel) {
    for (std::size_t i = 0; i < count; ++i) kernel(i);
}

#endif

template <class T>
void run(std::span<const T> x, std::span<T> y, T a, T b) {
    if (x.size() != y.size()) throw Error{Errc::invalid_input, "affine needs as many results as elements"};
    for_each_index(x.size(), Affine<T>{x.data(), y.data(), a, b});
}

}  // namespace

void affine(std::span<const float> x, std::span<float> y, float a, float b) {
    run(x, y, a, b);
}

void affine(std::span<const double> x, std::span<double> y, double a, double b) {
    run(x, y, a, b);
}

}  // namespace penstock
