#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

namespace penstock::doctor {

/// REQUIRES: there are some.
[[nodiscard]] inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

[[nodiscard]] inline double seconds(std::chrono::nanoseconds time) noexcept {
    return std::chrono::duration<double>(time).count();
}

}  // namespace penstock::doctor
