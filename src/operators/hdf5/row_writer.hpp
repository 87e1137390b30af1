#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <penstock/memory.hpp>

#include "operators/hdf5/commit_file.hpp"
#include "operators/hdf5/handles.hpp"

namespace penstock::hdf5 {

enum class Compression : std::uint8_t { none, gzip, shuffle_gzip };

struct Storage {
    std::uint64_t chunk_bytes = 1U << 20U;
    Compression compression = Compression::none;
    unsigned level = 4;
};

/// What the library takes as one chunk.
inline constexpr std::uint64_t max_chunk_bytes = (1ULL << 32U) - 1;

/// Creation properties with the filters. @param chunk  Extents of a chunk; empty for a dataset in one piece.
[[nodiscard]] Id dataset_properties(std::span<const hsize_t> chunk, const Storage& storage);

[[nodiscard]] std::uint64_t row_bytes_of(DType dtype, const Shape& row) noexcept;
[[nodiscard]] std::uint64_t chunk_rows_of(std::uint64_t row_bytes, const Storage& storage) noexcept;

/// Creates a chunked dataset without rows, which can be extended along its first dimension. No chunk is filled before
/// it is written. @param row  Extents of one row, which may be none for numbers in a line.
[[nodiscard]] Id create_rows(hid_t parent, const std::string& name, DType dtype, const Shape& row,
                             const Storage& storage);

/// A dataset of elements of one dtype that grows along its first dimension.
///
/// Rows are gathered to whole chunks. Uncompressed chunks go to the file directly; one that lies whole in the caller's
/// memory is not copied.
class RowWriter {
public:
    /// Creates the dataset. @param row  Extents of one row, which may be none for numbers in a line.
    /// REQUIRES: a row has at most `max_chunk_bytes`.
    RowWriter(CommitFile& file, hid_t parent, const std::string& name, DType dtype, const Shape& row,
              const Storage& storage);

    /// Adds rows; `bytes` has all of them.
    void append(std::uint64_t rows, std::span<const std::byte> bytes);
    /// Hands the chunk that is begun to the library, which then has every row.
    void flush();

    [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }
    [[nodiscard]] hid_t dataset() const noexcept { return dataset_.get(); }

private:
    void write_whole(std::uint64_t first_row, const std::byte* chunk);
    void write_begun();
    void extend(std::uint64_t rows);
    [[nodiscard]] std::vector<hsize_t> extents(std::uint64_t rows) const;

    CommitFile& file_;
    Id dataset_;
    DType dtype_;
    Shape row_;
    std::uint64_t row_bytes_;
    std::uint64_t chunk_rows_;
    bool filtered_;
    std::vector<std::byte> begun_;  // the rows after the last whole chunk
    bool begun_is_stored_ = false;  // a part of them is in the file, as a chunk without filters
    std::uint64_t flushed_rows_ = 0;
    std::uint64_t rows_ = 0;
    std::uint64_t extended_ = 0;
};

}  // namespace penstock::hdf5
