#pragma once

#include <cstdint>
#include <type_traits>

namespace penstock {

/// What results about elements of type T are: float for float and for integers of up to 16 bits, which it holds
/// exactly, double for all others.
template <class T>
using Real = std::conditional_t<std::is_same_v<T, float> || (std::is_integral_v<T> && sizeof(T) <= 2), float, double>;

/// Instantiates a template of kernels for every type of numbers.
#define PENSTOCK_FOR_EACH_NUMBER(INSTANTIATE) \
    INSTANTIATE(std::int8_t)                  \
    INSTANTIATE(std::uint8_t)                 \
    INSTANTIATE(std::int16_t)                 \
    INSTANTIATE(std::uint16_t)                \
    INSTANTIATE(std::int32_t)                 \
    INSTANTIATE(std::uint32_t)                \
    INSTANTIATE(std::int64_t)                 \
    INSTANTIATE(std::uint64_t)                \
    INSTANTIATE(float)                        \
    INSTANTIATE(double)

}  // namespace penstock
