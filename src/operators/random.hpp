#pragma once

#include <cstdint>

#include "operators/pattern_fill.hpp"

namespace penstock {

/// Numbers that depend on a seed and a place alone: the same in every instance and on every machine.
class Random {
public:
    Random(std::uint64_t seed, std::uint64_t place) : state_{pattern_start(seed) ^ pattern_start(~place)} {}

    [[nodiscard]] std::uint64_t next() noexcept { return pattern_start(state_++); }
    /// From 0 to 1, excluded.
    [[nodiscard]] double uniform() noexcept { return static_cast<double>(next() >> 11U) * 0x1p-53; }
    /// Mean 0, standard deviation 1, and nothing beyond 3.5: the sum of four even ones.
    [[nodiscard]] double noise() noexcept {
        const std::uint64_t bits = next();
        const std::uint64_t sum =
            (bits & 0xffffU) + (bits >> 16U & 0xffffU) + (bits >> 32U & 0xffffU) + (bits >> 48U & 0xffffU);
        return (static_cast<double>(sum) / 65536.0 - 2.0) * 1.7320508075688772;
    }

private:
    std::uint64_t state_;
};

}  // namespace penstock
