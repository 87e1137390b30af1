#include "operators/hdf5/form.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "operators/hdf5/row_writer.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {

std::string Form::problem_of(const Payload& payload) {
    const DType dtype = payload.dtype();
    const Shape shape = payload.shape();
    if (layout_ != Layout::append && dtype == DType::text && payload.text().find('\0') != std::string_view::npos)
        return "it has a NUL byte, which ends a text in HDF5; use layout \"append\"";
    if (layout_ == Layout::separate) return {};
    const bool one_text = layout_ == Layout::stack && dtype == DType::text;
    if (!one_text && row_bytes(payload) > max_chunk_bytes)
        return "a row of it is larger than 4 GiB; use smaller rows, or layout \"separate\"";
    if (!dtype_) {
        set(dtype, shape);
        return {};
    }
    if (dtype != *dtype_ || !(one_text || fits(shape)))
        return fmt::format("it is {}, not {} as the first one", describe(dtype, shape), describe(*dtype_, shape_));
    return {};
}

std::uint64_t Form::row_bytes(const Payload& payload) const {
    const std::uint64_t rows = layout_ == Layout::append && payload.shape().dims() > 0 ? payload.shape()[0] : 1;
    return rows == 0 ? 0 : payload.size_bytes() / rows;
}

bool Form::fits(const Shape& shape) const {
    if (layout_ == Layout::stack) return shape == shape_;
    const auto a = shape.extents();
    const auto b = shape_.extents();
    return a.size() == b.size() &&
           std::equal(a.begin() + (a.empty() ? 0 : 1), a.end(), b.begin() + (b.empty() ? 0 : 1));
}

}  // namespace penstock::hdf5
