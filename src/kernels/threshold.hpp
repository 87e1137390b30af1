#pragma once

#include <cstdint>
#include <span>

namespace penstock {

// What reaches a level is a hit; a NaN never is. On the host.

template <class T>
[[nodiscard]] std::uint64_t count_hits(std::span<const T> x, double level);

/// y[i] = x[i] where it is a hit, 0 elsewhere. @return the number of hits.
/// @throws Error{invalid_input} if the sizes differ.
template <class T>
std::uint64_t suppress_zeros(std::span<const T> x, std::span<T> y, double level);

/// mask[i] = 1 where x[i] is a hit, 0 elsewhere. @return the number of hits.
/// @throws Error{invalid_input} if the sizes differ.
template <class T>
std::uint64_t mask_hits(std::span<const T> x, std::span<std::uint8_t> mask, double level);

}  // namespace penstock
