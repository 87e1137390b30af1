#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "operators/csv_reader.hpp"

namespace penstock::telemetry {

/// A row of a DCGM metrics file. Views, valid until the next row; empty where the file has no such column.
struct DcgmRow {
    std::string_view timestamp;
    std::string_view metric_name;
    std::string_view gpu_id;
    std::string_view device;
    std::string_view uuid;
    std::string_view model_name;
    std::string_view hostname;
    std::string_view value;  ///< May be empty.
    std::string_view container;
    std::string_view pod;
    std::string_view kubernetes_namespace;
    std::string_view labels_raw;
};

/// Reads the CSV files that DCGM's exporter records. Columns are found by name, in any order; space before a field does
/// not count.
class DcgmFile {
public:
    /// Which of so many parts of the rows to read.
    struct Part {
        std::size_t index = 0;
        std::size_t count = 1;
    };
    /// @throws Error{invalid_input} "missing required column: X", and if the file cannot be read.
    DcgmFile(const std::string& path, Part part);

    enum class Result : std::uint8_t { row, bad_row, end };
    /// @throws Error{invalid_input} if the file cannot be read on.
    [[nodiscard]] Result next(DcgmRow& row);
    /// What is wrong with the bad row, and where it is.
    [[nodiscard]] const std::string& why() const noexcept { return why_; }
    /// "row 7 (byte 812)", of the last row.
    [[nodiscard]] std::string place();

private:
    static constexpr std::size_t fields = 12;

    [[nodiscard]] std::string_view field(std::size_t index);

    CsvReader reader_;
    std::array<std::optional<std::size_t>, fields> columns_;
    std::array<std::string, fields> scratch_;
    std::string why_;
};

}  // namespace penstock::telemetry
