#include "kernels/histogram.hpp"

#include <algorithm>
#include <array>

#include "kernels/parallel.hpp"
#include "kernels/real.hpp"

namespace penstock {
namespace {

/// Equal neighbours go to different copies: an increment need not wait for the one before it.
constexpr std::size_t copies_of_piece = 4;

template <class T>
struct CountBins {
    const T* x;
    std::uint64_t* counts;
    std::size_t count;
    std::size_t piece_elements;
    std::int32_t bins;
    double scale;
    double low;
    double high;

    [[nodiscard]] PENSTOCK_FUNCTION std::int32_t slot_of(T element) const {
        const auto value = static_cast<double>(element);
        const auto last = static_cast<double>(bins);
        // Selections of doubles alone and one conversion at the end: that much the compiler can do for several at once.
        double bin = (value - low) * scale;
        bin = bin < last - 1 ? bin : last - 1;
        bin = value < low ? -1.0 : bin;
        bin = value > high ? last : bin;
        bin = value - value == 0 ? bin : last + 1;
        return static_cast<std::int32_t>(bin) + 1;
    }

    PENSTOCK_FUNCTION void operator()(std::size_t piece) const {
        const auto slots = static_cast<std::size_t>(bins) + 3;
        std::uint64_t* const mine = counts + piece * copies_of_piece * slots;
        const std::size_t begin = piece * piece_elements;
        const std::size_t end = begin + piece_elements < count ? begin + piece_elements : count;
        constexpr std::size_t lot = 256;
        std::array<std::int32_t, lot> found;
        for (std::size_t first = begin; first < end; first += lot) {
            const std::size_t many = lot < end - first ? lot : end - first;
#pragma omp simd
            for (std::size_t i = 0; i < many; ++i) found[i] = slot_of(x[first + i]);
            for (std::size_t i = 0; i < many; ++i) {
                ++mine[(i % copies_of_piece) * slots + static_cast<std::size_t>(found[i])];
            }
        }
    }
};

}  // namespace

Histogram::Histogram(std::size_t bins, double low, double high) : bins_{bins}, low_{low}, high_{high} {}

template <class T>
void Histogram::add(std::span<const T> x) {
    if (x.empty()) return;
    const std::size_t slots = bins_ + 3;
    if (counts_.empty()) {
        copies_ = pieces_at_once() * copies_of_piece;
        counts_.resize(copies_ * slots);
    }
    const std::size_t pieces = std::min(copies_ / copies_of_piece, (x.size() - 1) / block_elements + 1);
    const std::size_t piece_elements = (x.size() - 1) / pieces + 1;
    for_each_piece(
        pieces,
        for_each_isa(CountBins<T>{x.data(), counts_.data(), x.size(), piece_elements, static_cast<std::int32_t>(bins_),
                                  static_cast<double>(bins_) / (high_ - low_), low_, high_}),
        piece_elements * sizeof(T));
}

void Histogram::clear() noexcept {
    std::ranges::fill(counts_, 0U);
}

double Histogram::lower_edge(std::size_t bin) const noexcept {
    const double share = static_cast<double>(bin) / static_cast<double>(bins_);
    return low_ * (1 - share) + high_ * share;
}

std::uint64_t Histogram::total(std::size_t slot) const noexcept {
    std::uint64_t sum = 0;
    if (counts_.empty()) return sum;
    for (std::size_t copy = 0; copy < copies_; ++copy) sum += counts_[copy * (bins_ + 3) + slot];
    return sum;
}

#define PENSTOCK_HISTOGRAM(T) template void Histogram::add(std::span<const T>);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_HISTOGRAM)

}  // namespace penstock
