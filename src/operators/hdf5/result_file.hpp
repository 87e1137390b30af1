#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <penstock/operator.hpp>

#include "operators/hdf5/commit_file.hpp"
#include "operators/hdf5/origin.hpp"
#include "operators/hdf5/payload_table.hpp"
#include "operators/hdf5/row_writer.hpp"
#include "operators/hdf5/text_writer.hpp"

namespace penstock::hdf5 {

enum class Layout : std::uint8_t { stack, append, separate };

/// "stack", ...: what the attribute of the dataset says.
[[nodiscard]] std::string_view name_of(Layout layout) noexcept;

/// Extents of one payload in elements of the file: text and bytes are a line of bytes.
[[nodiscard]] Shape stored_shape(const Payload& payload);
/// Of one row when payloads follow each other along their first dimension.
[[nodiscard]] Shape without_first(const Shape& shape);

struct ResultSettings {
    std::string path;
    std::string dataset;
    Layout layout = Layout::stack;
    Storage storage;
    bool table = true;
};

/// The file of one instance. Every payload given to it has the form of the first one, as its layout asks for.
/// To be made, used and destroyed under a `Guard`.
class ResultFile {
public:
    /// Creates the file, with its attributes and no dataset yet.
    /// @throws Error{invalid_input} if it cannot be created, Error{exhausted} if there is no room.
    ResultFile(ResultSettings settings, const Origin& origin);
    ResultFile(const ResultFile&) = delete;
    ResultFile& operator=(const ResultFile&) = delete;
    ~ResultFile();

    /// `bytes` is the blob; it need not stay after the call.
    /// @throws Error{exhausted} if the disk is full; the file is as of the last commit then.
    void write(const Payload& payload, std::span<const std::byte> bytes);
    /// Afterwards everything written so far is found by a reader, whatever happens to this process.
    void commit();
    /// Commits, marks the file as complete, waits for the storage and closes the file.
    void complete();

private:
    void describe_dataset(hid_t dataset, DType dtype);
    void flush();
    std::uint64_t write_rows(const Payload& payload, std::span<const std::byte> bytes);
    void write_alone(const Payload& payload, std::span<const std::byte> bytes);
    [[nodiscard]] hid_t lot_of(PayloadId id);
    void create_group(const std::string& path);
    [[nodiscard]] static std::string name_alone(hid_t lot, PayloadId id);
    void write_table(const Payload& payload, std::uint64_t first_row, std::uint64_t rows);

    ResultSettings settings_;
    CommitFile bytes_;
    Id file_;
    Id lot_;  // group of the last dataset, when each payload has one
    std::string lot_path_;
    std::optional<RowWriter> rows_;
    std::optional<TextWriter> texts_;
    std::optional<PayloadTableWriter> table_;
};

}  // namespace penstock::hdf5
