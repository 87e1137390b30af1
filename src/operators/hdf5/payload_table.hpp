#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <penstock/memory.hpp>

#include "operators/hdf5/handles.hpp"

namespace penstock::hdf5 {

/// What the table beside the data says about one payload.
struct PayloadRow {
    PayloadId id;
    std::optional<std::uint64_t> user_id;
    Format format = Format::none;
    std::uint64_t source_time_ns = 0;
    std::uint64_t first_row = 0;
    std::uint64_t rows = 0;
    std::string metadata = "{}";  ///< JSON object.
};

/// "data" -> "data_payloads"
[[nodiscard]] std::string table_name(const std::string& dataset);

/// The type of a row in the file.
[[nodiscard]] Id table_type();

/// Writes the table; rows wait for `flush`.
class PayloadTableWriter {
public:
    PayloadTableWriter(hid_t parent, const std::string& name);
    void add(PayloadRow row) { waiting_.push_back(std::move(row)); }
    void flush();

private:
    Id dataset_;
    std::vector<PayloadRow> waiting_;
    std::uint64_t written_ = 0;
};

/// Reads a table that `PayloadTableWriter` wrote, or somebody else with the same columns.
class PayloadTableReader {
public:
    /// @throws Error{invalid_input} if its columns or its extents are others.
    explicit PayloadTableReader(Id dataset);
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    /// REQUIRES: index < size(). @throws Error{invalid_input} if it cannot be read.
    [[nodiscard]] const PayloadRow& at(std::uint64_t index);

private:
    void load(std::uint64_t first);

    Id dataset_;
    std::uint64_t size_ = 0;
    std::uint64_t loaded_first_ = 0;
    std::vector<PayloadRow> loaded_;
};

}  // namespace penstock::hdf5
