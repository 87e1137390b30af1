#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "operators/csv_reader.hpp"

namespace penstock {

/// Reads a field as a number of type T: f64, f32, i64 or i32. Spaces around it do not count; quotes must be gone.
/// Floating point numbers are the nearest ones, "nan" and "inf" are numbers.
/// @return nothing for any other text and for a number beyond the range of T.
template <class T>
[[nodiscard]] std::optional<T> parse_field(std::string_view text) noexcept;

/// What becomes of an empty field where a number should be.
enum class EmptyField : std::uint8_t { is_bad, is_nan };

/// Reads some columns of rows as numbers of type T: f64, f32, i64 or i32.
template <class T>
class CsvNumbers {
public:
    /// @param columns  Which fields, in the order in which they are wanted.
    CsvNumbers(std::vector<std::uint32_t> columns, EmptyField empty) noexcept
        : columns_{std::move(columns)}, empty_{empty} {}

    [[nodiscard]] std::span<const std::uint32_t> columns() const noexcept { return columns_; }

    /// Writes the numbers of a well-formed row, which has all these columns, to `out`.
    /// @return the place in `columns` of the first field that is no number; the number of columns if there is none.
    [[nodiscard]] std::size_t read(const CsvRow& row, T* out) const;

    /// Whether short decimal numbers are read with vector instructions on this processor.
    [[nodiscard]] static bool is_vectorised() noexcept;
    /// The same without them, for tests.
    [[nodiscard]] std::size_t read_portably(const CsvRow& row, T* out) const;

private:
    [[nodiscard]] bool read_one(const CsvRow& row, std::uint32_t column, T& out) const;

    std::vector<std::uint32_t> columns_;
    EmptyField empty_;
};

extern template class CsvNumbers<double>;
extern template class CsvNumbers<float>;
extern template class CsvNumbers<std::int64_t>;
extern template class CsvNumbers<std::int32_t>;

}  // namespace penstock
