#include "operators/hdf5/row_writer.hpp"

#include <algorithm>
#include <cstring>

#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

constexpr std::uint32_t skip_all_filters = 3;  // there are two at most

}  // namespace

Id dataset_properties(std::span<const hsize_t> chunk, const Storage& storage) {
    Id properties = made(H5Pcreate(H5P_DATASET_CREATE), "HDF5 dataset properties");
    check(H5Pset_obj_track_times(properties.get(), false), "HDF5 dataset properties");
    if (chunk.empty()) return properties;
    check(H5Pset_chunk(properties.get(), static_cast<int>(chunk.size()), chunk.data()), "HDF5 chunk size");
    if (storage.compression == Compression::shuffle_gzip) check(H5Pset_shuffle(properties.get()), "HDF5 shuffle");
    if (storage.compression != Compression::none)
        check(H5Pset_deflate(properties.get(), storage.level), "HDF5 compression");
    return properties;
}

std::uint64_t chunk_rows_of(std::uint64_t row_bytes, const Storage& storage) noexcept {
    return std::max<std::uint64_t>(row_bytes == 0 ? 1 : storage.chunk_bytes / row_bytes, 1);
}

std::uint64_t row_bytes_of(DType dtype, const Shape& row) noexcept {
    std::uint64_t bytes = size_of(dtype);
    for (const std::uint64_t extent : row.extents()) bytes *= extent;
    return bytes;
}

Id create_rows(hid_t parent, const std::string& name, DType dtype, const Shape& row, const Storage& storage) {
    std::vector<hsize_t> none{0};
    std::vector<hsize_t> most{H5S_UNLIMITED};
    std::vector<hsize_t> chunk{chunk_rows_of(row_bytes_of(dtype, row), storage)};
    for (const std::uint64_t extent : row.extents()) {
        none.push_back(extent);
        // A dimension without extent has no chunk either, unless it may grow.
        most.push_back(extent == 0 ? H5S_UNLIMITED : extent);
        chunk.push_back(std::max<hsize_t>(extent, 1));
    }
    const Id space = made(H5Screate_simple(static_cast<int>(most.size()), none.data(), most.data()), "HDF5 extents");
    const Id properties = dataset_properties(chunk, storage);
    check(H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER), "HDF5 fill time");  // each chunk is written whole
    const Id access = made(H5Pcreate(H5P_DATASET_ACCESS), "HDF5 dataset properties");
    check(H5Pset_chunk_cache(access.get(), 1, 0, 1.0), "HDF5 chunk cache");  // rows are gathered by the callers
    return made(
        H5Dcreate2(parent, name.c_str(), native_type(dtype), space.get(), H5P_DEFAULT, properties.get(), access.get()),
        "cannot create an HDF5 dataset");
}

RowWriter::RowWriter(CommitFile& file, hid_t parent, const std::string& name, DType dtype, const Shape& row,
                     const Storage& storage)
    : file_{file},
      dataset_{create_rows(parent, name, dtype, row, storage)},
      dtype_{dtype},
      row_{row},
      row_bytes_{row_bytes_of(dtype, row)},
      chunk_rows_{chunk_rows_of(row_bytes_, storage)},
      filtered_{storage.compression != Compression::none} {}

std::vector<hsize_t> RowWriter::extents(std::uint64_t rows) const {
    std::vector<hsize_t> all{rows};
    all.insert(all.end(), row_.extents().begin(), row_.extents().end());
    return all;
}

void RowWriter::append(std::uint64_t rows, std::span<const std::byte> bytes) {
    if (row_bytes_ == 0) {
        rows_ += rows;
        return;
    }
    while (!bytes.empty()) {
        const std::uint64_t begun = rows_ % chunk_rows_;
        if (begun == 0 && bytes.size() >= chunk_rows_ * row_bytes_) {
            write_whole(rows_, bytes.data());
            rows_ += chunk_rows_;
            bytes = bytes.subspan(chunk_rows_ * row_bytes_);
            continue;
        }
        begun_.resize(chunk_rows_ * row_bytes_);
        const std::uint64_t taken = std::min(chunk_rows_ - begun, bytes.size() / row_bytes_);
        std::memcpy(begun_.data() + begun * row_bytes_, bytes.data(), taken * row_bytes_);
        rows_ += taken;
        bytes = bytes.subspan(taken * row_bytes_);
        if (rows_ % chunk_rows_ == 0) write_whole(rows_ - chunk_rows_, begun_.data());
    }
}

void RowWriter::write_whole(std::uint64_t first_row, const std::byte* chunk) {
    const std::vector<hsize_t> offset = [&] {
        std::vector<hsize_t> all(row_.dims() + 1, 0);
        all[0] = first_row;
        return all;
    }();
    if (filtered_ && begun_is_stored_) {
        // A chunk of the same size would be written over the committed one, and might be cut off half-way. The library
        // forgets the old chunk when the dataset is cut before it.
        unsigned mask = 0;
        haddr_t address = HADDR_UNDEF;
        hsize_t size = 0;
        check(H5Dget_chunk_info_by_coord(dataset_.get(), offset.data(), &mask, &address, &size), "HDF5 chunk");
        check(H5Dset_extent(dataset_.get(), extents(first_row).data()), "HDF5 extents");
        extended_ = first_row;
        if (address != HADDR_UNDEF) file_.release(address, size);
    }
    begun_is_stored_ = false;
    extend(first_row + chunk_rows_);
    if (!filtered_) {
        check(H5Dwrite_chunk(dataset_.get(), H5P_DEFAULT, 0, offset.data(), chunk_rows_ * row_bytes_, chunk),
              "cannot write an HDF5 chunk");
        return;
    }
    const auto count = extents(chunk_rows_);
    const Id from = made(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), "HDF5 extents");
    const Id to = made(H5Dget_space(dataset_.get()), "HDF5 extents");
    check(H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, offset.data(), nullptr, count.data(), nullptr),
          "HDF5 selection");
    check(H5Dwrite(dataset_.get(), native_type(dtype_), from.get(), to.get(), H5P_DEFAULT, chunk),
          "cannot write an HDF5 chunk");
}

/// As a chunk without filters: written again with more rows it stays where it is and keeps the bytes it had.
void RowWriter::write_begun() {
    std::vector<hsize_t> offset(row_.dims() + 1, 0);
    offset[0] = rows_ - rows_ % chunk_rows_;
    check(H5Dwrite_chunk(dataset_.get(), H5P_DEFAULT, filtered_ ? skip_all_filters : 0, offset.data(),
                         chunk_rows_ * row_bytes_, begun_.data()),
          "cannot write an HDF5 chunk");
    begun_is_stored_ = true;
}

void RowWriter::flush() {
    if (flushed_rows_ == rows_) return;
    extend(rows_);
    if (row_bytes_ != 0 && rows_ % chunk_rows_ != 0) write_begun();
    flushed_rows_ = rows_;
}

/// A chunk must lie inside the dataset before it is written. What is extended too far is cut by nobody: `flush` comes
/// before every commit with the true number.
void RowWriter::extend(std::uint64_t rows) {
    if (rows <= extended_) return;
    check(H5Dset_extent(dataset_.get(), extents(rows).data()), "HDF5 extents");
    extended_ = rows;
}

}  // namespace penstock::hdf5
