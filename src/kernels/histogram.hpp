#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace penstock {

/// Counts numbers in bins of equal width, on the host. The last bin includes the upper end of the range.
class Histogram {
public:
    /// REQUIRES: 0 < bins < 2^31 - 3 and low < high, all finite.
    Histogram(std::size_t bins, double low, double high);

    template <class T>
    void add(std::span<const T> x);
    void clear() noexcept;

    [[nodiscard]] std::size_t bins() const noexcept { return bins_; }
    /// REQUIRES: bin <= bins().
    [[nodiscard]] double lower_edge(std::size_t bin) const noexcept;
    /// Numbers in a bin so far.
    [[nodiscard]] std::uint64_t in_bin(std::size_t bin) const noexcept { return total(bin + 1); }
    [[nodiscard]] std::uint64_t below() const noexcept { return total(0); }
    [[nodiscard]] std::uint64_t above() const noexcept { return total(bins_ + 1); }
    [[nodiscard]] std::uint64_t non_finite() const noexcept { return total(bins_ + 2); }

private:
    [[nodiscard]] std::uint64_t total(std::size_t slot) const noexcept;

    std::size_t bins_;
    double low_;
    double high_;
    std::size_t copies_ = 0;             // for each piece that runs at once, several
    std::vector<std::uint64_t> counts_;  // of each copy: below, the bins, above, not finite
};

}  // namespace penstock
