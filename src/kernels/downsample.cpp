#include "kernels/downsample.hpp"

#include <algorithm>

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"

namespace penstock {
namespace {

/// Where the cell of a row of results begins, and how many elements it has in each dimension but the last.
struct Cell {
    std::array<std::size_t, Reduction::max_dims> extent{};
    std::size_t rows = 1;
    std::size_t begin = 0;  ///< In x.
};

struct Layout {
    Reduction of;
    std::array<std::size_t, Reduction::max_dims> stride{};  ///< In x.

    explicit Layout(const Reduction& reduction) : of{reduction} {
        std::size_t step = 1;
        for (std::size_t dim = of.dims; dim-- > 0; step *= of.extent[dim]) stride[dim] = step;
    }

    [[nodiscard]] PENSTOCK_FUNCTION Cell cell_of(std::size_t row) const {
        Cell cell;
        for (std::size_t dim = of.dims - 1; dim-- > 0;) {
            const std::size_t place = row % of.reduced(dim);
            row /= of.reduced(dim);
            const std::size_t first = place * of.factor[dim];
            const std::size_t left = of.extent[dim] - first;
            cell.extent[dim] = of.factor[dim] < left ? of.factor[dim] : left;
            cell.rows *= cell.extent[dim];
            cell.begin += first * stride[dim];
        }
        return cell;
    }
    /// Where row `number` of a cell begins in x.
    [[nodiscard]] PENSTOCK_FUNCTION std::size_t row_of(const Cell& cell, std::size_t number) const {
        std::size_t at = cell.begin;
        for (std::size_t dim = of.dims - 1; dim-- > 0;) {
            at += (number % cell.extent[dim]) * stride[dim];
            number /= cell.extent[dim];
        }
        return at;
    }
};

/// Of the array, for each row of results.
template <class T>
[[nodiscard]] std::size_t row_bytes(const Reduction& of) {
    return of.elements() * sizeof(T) / std::max<std::size_t>(of.reduced_elements() / of.reduced(of.dims - 1), 1);
}

/// Adds up cells of a row; the common factors are constants, for the compiler to unroll.
template <std::size_t Factor, class T>
PENSTOCK_FUNCTION void add_cells(const T* x, double* sums, std::size_t many, std::size_t factor) {
    const std::size_t step = Factor == 0 ? factor : Factor;
    for (std::size_t i = 0; i < many; ++i) {
        double sum = 0;
        for (std::size_t k = 0; k < step; ++k) sum += static_cast<double>(x[i * step + k]);
        sums[i] += sum;
    }
}

template <class T>
struct MeanOfCells {
    const T* x;
    Real<T>* y;
    Layout layout;

    [[nodiscard]] std::size_t index_bytes() const { return row_bytes<T>(layout.of); }

    PENSTOCK_FUNCTION void add_row(const T* from, double* sums, std::size_t many) const {
        const std::size_t factor = layout.of.factor[layout.of.dims - 1];
        if (factor == 1) return add_cells<1>(from, sums, many, factor);
        if (factor == 2) return add_cells<2>(from, sums, many, factor);
        if (factor == 4) return add_cells<4>(from, sums, many, factor);
        add_cells<0>(from, sums, many, factor);
    }

    PENSTOCK_FUNCTION void operator()(std::size_t row) const {
        const std::size_t last = layout.of.dims - 1;
        const std::size_t factor = layout.of.factor[last];
        const std::size_t width = layout.of.reduced(last);
        const std::size_t whole = layout.of.extent[last] / factor;
        const Cell cell = layout.cell_of(row);
        constexpr std::size_t lot = 256;
        std::array<double, lot> sums;
        for (std::size_t first = 0; first < width; first += lot) {
            const std::size_t many = lot < width - first ? lot : width - first;
            const std::size_t cut = first + many > whole ? 1 : 0;  // the last cell may be
            const std::size_t tail = layout.of.extent[last] - whole * factor;
            sums.fill(0);
            for (std::size_t number = 0; number < cell.rows; ++number) {
                const T* const from = x + layout.row_of(cell, number) + first * factor;
                add_row(from, sums.data(), many - cut);
                if (cut == 1) add_cells<0>(from + (many - 1) * factor, sums.data() + many - 1, 1, tail);
            }
            Real<T>* const to = y + row * width + first;
            const auto elements = static_cast<double>(cell.rows * factor);
            for (std::size_t i = 0; i < many; ++i) to[i] = static_cast<Real<T>>(sums[i] / elements);
            if (cut == 1) to[many - 1] = static_cast<Real<T>>(sums[many - 1] / static_cast<double>(cell.rows * tail));
        }
    }
};

template <class T>
struct FirstOfCells {
    const T* x;
    T* y;
    Layout layout;

    [[nodiscard]] std::size_t index_bytes() const { return row_bytes<T>(layout.of); }

    PENSTOCK_FUNCTION void operator()(std::size_t row) const {
        const std::size_t last = layout.of.dims - 1;
        const std::size_t factor = layout.of.factor[last];
        const std::size_t width = layout.of.reduced(last);
        const T* const from = x + layout.cell_of(row).begin;
        T* const to = y + row * width;
        for (std::size_t i = 0; i < width; ++i) to[i] = from[i * factor];
    }
};

void check_sizes(const Reduction& reduction, std::size_t elements, std::size_t results) {
    if (elements == reduction.elements() && results == reduction.reduced_elements()) return;
    throw Error{Errc::invalid_input, "downsampling needs elements and results as its extents say"};
}

/// Rows of results; 0 if there is nothing to do.
std::size_t rows_of(const Reduction& reduction) {
    const std::size_t results = reduction.reduced_elements();
    return results == 0 ? 0 : results / reduction.reduced(reduction.dims - 1);
}

}  // namespace

std::size_t Reduction::elements() const noexcept {
    std::size_t product = dims == 0 ? 0 : 1;
    for (std::size_t dim = 0; dim < dims; ++dim) product *= extent[dim];
    return product;
}

std::size_t Reduction::reduced_elements() const noexcept {
    std::size_t product = dims == 0 ? 0 : 1;
    for (std::size_t dim = 0; dim < dims; ++dim) product *= reduced(dim);
    return product;
}

template <class T>
void downsample_mean(std::span<const T> x, std::span<Real<T>> y, const Reduction& reduction) {
    check_sizes(reduction, x.size(), y.size());
    for_each_index(rows_of(reduction), MeanOfCells<T>{x.data(), y.data(), Layout{reduction}}, 1);
}

template <class T>
void downsample_stride(std::span<const T> x, std::span<T> y, const Reduction& reduction) {
    check_sizes(reduction, x.size(), y.size());
    for_each_index(rows_of(reduction), FirstOfCells<T>{x.data(), y.data(), Layout{reduction}}, 1);
}

#define PENSTOCK_DOWNSAMPLE(T)                                                               \
    template void downsample_mean(std::span<const T>, std::span<Real<T>>, const Reduction&); \
    template void downsample_stride(std::span<const T>, std::span<T>, const Reduction&);
PENSTOCK_FOR_EACH_NUMBER(PENSTOCK_DOWNSAMPLE)

}  // namespace penstock
