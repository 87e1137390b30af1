#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <penstock/memory.hpp>

#include "operators/hdf5/result_file.hpp"

namespace penstock::hdf5 {

/// What all payloads of a dataset have in common.
class Form {
public:
    explicit Form(Layout layout) : layout_{layout} {}

    /// Why a payload cannot be written; empty if it can. The first one that can sets the form.
    [[nodiscard]] std::string problem_of(const Payload& payload);
    /// Sets the form as a payload of that kind would.
    void set(DType dtype, const Shape& shape) {
        dtype_ = dtype;
        shape_ = shape;
    }

    [[nodiscard]] std::optional<DType> dtype() const noexcept { return dtype_; }
    [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
    [[nodiscard]] bool operator==(const Form& other) const {
        return dtype_ == other.dtype_ && dtype_ && fits(other.shape_);
    }

private:
    [[nodiscard]] std::uint64_t row_bytes(const Payload& payload) const;
    [[nodiscard]] bool fits(const Shape& shape) const;

    Layout layout_;
    std::optional<DType> dtype_;
    Shape shape_;
};

}  // namespace penstock::hdf5
