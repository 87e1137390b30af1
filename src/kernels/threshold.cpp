#include "kernels/threshold.hpp"

#include <cmath>
#include <limits>
#include <type_traits>

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"
#include "kernels/real.hpp"

namespace penstock {
namespace {

struct Hits {
    std::uint64_t count = 0;
    void join(const Hits& other) noexcept { count += other.count; }
};

/// The least value of that type that reaches the level: comparing with it is comparing with the level itself.
template <class R>
R least_hit(double level) {
    const auto rounded = static_cast<R>(level);
    if (static_cast<double>(rounded) >= level) return rounded;
    return std::nextafter(rounded, std::numeric_limits<R>::infinity());
}

/// As wide as what is compared, for comparisons and counts to share vectors; exact for a block.
template <class T>
using HitCount = std::conditional_t<sizeof(Real<T>) == sizeof(double), double, std::uint32_t>;

template <class T>
struct CountHits {
    const T* x;
    Real<T> least;

    PENSTOCK_FUNCTION Hits operator()(std::size_t begin, std::size_t end) const {
        HitCount<T> hits = 0;
#pragma omp simd reduction(+ : hits)
        for (std::size_t i = begin; i < end; ++i)
            hits += static_cast<Real<T>>(x[i]) >= least ? HitCount<T>{1} : HitCount<T>{0};
        return {static_cast<std::uint64_t>(hits)};
    }
};

template <class T>
struct SuppressZeros {
    const T* x;
    T* y;
    Real<T> least;

    PENSTOCK_FUNCTION Hits operator()(std::size_t begin, std::size_t end) const {
        HitCount<T> hits = 0;
#pragma omp simd reduction(+ : hits)
        for (std::size_t i = begin; i < end; ++i) {
            const bool hit = static_cast<Real<T>>(x[i]) >= least;
            const T value = x[i];
            y[i] = hit ? value : T{};
            hits += hit ? HitCount<T>{1} : HitCount<T>{0};
        }
        return {static_cast<std::uint64_t>(hits)};
    }
};

template <class T>
struct MaskHits {
    const T* x;
    std::uint8_t* mask;
    Real<T> least;

    PENSTOCK_FUNCTION Hits operator()(std::size_t begin, std::size_t end) const {
        for (std::size_t i = begin; i < end; ++i) mask[i] = static_cast<Real<T>>(x[i]) >= least ? 1 : 0;
        std::uint32_t hits = 0;
#pragma omp simd reduction(+ : hits)
        for (std::size_t i = begin; i < end; ++i) hits += mask[i];
        return {hits};
    }
};

void check_sizes(std::size_t elements, std::size_t results) {
    if (elements != results) throw Error{Errc::invalid_input, "a threshold needs as many results as elements"};
}

}  // namespace

template <class T>
std::uint64_t count_hits(std::span<const T> x, double level) {
    return reduce_blocks<Hits>(x.size(), CountHits<T>{x.data(), least_hit<Real<T>>(level)}).count;
}

template <class T>
std::uint64_t suppress_zeros(std::span<const T> x, std::span<T> y, double level) {
    check_sizes(x.size(), y.size());
    return reduce_blocks<Hits>(x.size(), SuppressZeros<T>{x.data(), y.data(), least_hit<Real<T>>(level)}).count;
}

template <class T>
std::uint64_t mask_hits(std::span<const T> x, std::span<std::uint8_t> mask, double level) {
    check_sizes(x.size(), mask.size());
    return reduce_blocks<Hits>(x.size(), MaskHits<T>{x.data(), mask.data(), least_hit<Real<T>>(level)}).count;
}

#define PENSTOCK_THRESHOLD(T)                                                        \
    template std::uint64_t count_hits(std::span<const T>, double);                   \
    template std::uint64_t suppress_zeros(std::span<const T>, std::span<T>, double); \
    template std::uint64_t mask_hits(std::span<const T>, std::span<std::uint8_t>, double);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_THRESHOLD)

}  // namespace penstock
