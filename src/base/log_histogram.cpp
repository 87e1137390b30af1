#include "base/log_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace penstock {

void LogHistogram::merge(const LogHistogram& other) noexcept {
    for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
}

std::uint64_t LogHistogram::count() const noexcept {
    return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

double LogHistogram::mean() const noexcept {
    const std::uint64_t values = count();
    return values == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(values);
}

std::uint64_t LogHistogram::quantile(double share) const noexcept {
    const std::uint64_t values = count();
    if (values == 0) return 0;
    const double wanted = std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(values));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets; ++i) {
        seen += counts_[i];
        if (seen != 0 && static_cast<double>(seen) >= wanted) return std::min(last_of(i), max_);
    }
    return max_;
}

std::uint64_t LogHistogram::count_to(std::uint64_t limit) const noexcept {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets && last_of(i) <= limit; ++i) seen += counts_[i];
    return seen;
}

}  // namespace penstock
