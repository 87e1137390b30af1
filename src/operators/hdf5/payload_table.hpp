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

/// "data" -> "data_metadata": the texts of a table that several instances have written, one behind another.
[[nodiscard]] std::string metadata_name(const std::string& dataset);

/// Writes the table of a file that several instances write through MPI-IO, which knows no texts of variable length:
/// they go to a dataset of bytes, and the rows say where.
class SharedTableWriter {
public:
    /// Collective. @param dataset  Whose table it is.
    SharedTableWriter(hid_t file, const std::string& dataset);
    /// Collective: how many rows and bytes there are now.
    void extend(std::uint64_t rows, std::uint64_t metadata_bytes);
    /// What they take in the file.
    [[nodiscard]] static std::uint64_t most_bytes(std::uint64_t rows, std::uint64_t metadata_bytes) noexcept;
    /// Rows of one instance and the place of the first of their texts; an empty one stands for "{}".
    void write(std::uint64_t first, std::uint64_t metadata_first, const std::vector<PayloadRow>& rows);

private:
    Id rows_;
    Id metadata_;
};

/// Reads a table that `PayloadTableWriter` or `SharedTableWriter` wrote, or somebody else with the same columns.
class PayloadTableReader {
public:
    /// @param metadata  The texts, where they are not in the table.
    /// @throws Error{invalid_input} if its columns or its extents are others.
    explicit PayloadTableReader(Id dataset, Id metadata = {});
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    /// REQUIRES: index < size(). @throws Error{invalid_input} if it cannot be read.
    [[nodiscard]] const PayloadRow& at(std::uint64_t index);

private:
    void load(std::uint64_t first);
    void load_shared(hid_t to, hid_t from, std::uint64_t count);
    [[nodiscard]] std::string metadata_at(std::uint64_t first, std::uint64_t bytes) const;

    Id dataset_;
    Id metadata_;
    std::uint64_t metadata_bytes_ = 0;
    std::uint64_t size_ = 0;
    std::uint64_t loaded_first_ = 0;
    std::vector<PayloadRow> loaded_;
};

}  // namespace penstock::hdf5
