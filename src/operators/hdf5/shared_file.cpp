#include "operators/hdf5/shared_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "base/quote.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

/// Smaller payloads are gathered, so that each write is worth its call.
constexpr std::uint64_t worth_a_write = 256U << 10U;
constexpr std::uint64_t gathered_bytes = 4U << 20U;
/// Room for headers and what else the library adds.
constexpr std::uint64_t metadata_room = 64U << 10U;
constexpr std::uint64_t index_bytes = 32;  // of a chunk, at most

[[noreturn]] void no_room(const std::string& path, int reason) {
    throw Error{Errc::exhausted, "cannot write the output file " + path_in_quotes(path) + ": " + std::strerror(reason) +
                                     "; it keeps what was settled; free space, or set \"output\" to a file elsewhere, "
                                     "and run again"};
}

/// One instance makes the file as one that writes alone does.
void create_file(const ResultSettings& settings, const Origin& origin) {
    const ResultFile file{settings, origin};
}

void find_file(const std::string& path) {
    if (access(path.c_str(), W_OK) == 0) return;
    throw Error{Errc::invalid_input, "cannot open the output file " + path_in_quotes(path) +
                                         " that instance 0 has created: " + std::strerror(errno) +
                                         "; set \"output\" to a file on a file system that all hosts share"};
}

Id open_file(const std::string& path, MPI_Comm communicator) {
    const Id access = made(H5Pcreate(H5P_FILE_ACCESS), "HDF5 file properties");
    check(H5Pset_fapl_mpio(access.get(), communicator, MPI_INFO_NULL), "HDF5 with MPI-IO");
    check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), "HDF5 file properties");
    check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_LATEST), "HDF5 format bounds");
    Id file = made(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()),
                   "cannot open the HDF5 file " + path_in_quotes(path) + " through MPI-IO");
    check(H5Fset_libver_bounds(file.get(), H5F_LIBVER_V110, H5F_LIBVER_LATEST), "HDF5 format bounds");
    return file;
}

void mark_complete(const std::string& path) {
    {
        const Id file =
            made(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), "cannot open the file " + path_in_quotes(path));
        set_attribute(file.get(), "complete", std::uint64_t{1});
        check(H5Fflush(file.get(), H5F_SCOPE_LOCAL), "cannot write the file " + path_in_quotes(path));
    }
    const UniqueHandle<DescriptorTraits> file{open(path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file || (fdatasync(file.get()) != 0 && errno != EINVAL && errno != EROFS)) no_room(path, errno);
}

}  // namespace

/// What one instance may fail to do alone fails all of them.
template <class Body>
void SharedFile::together(Body&& body) {
    std::optional<Error> failure;
    try {
        body();
    } catch (const Error& error) {
        failure = error;
    }
    group_.agree(failure);
}

SharedFile::SharedFile(const ResultSettings& settings, const Origin& origin, StageGroup& group)
    : settings_{settings}, group_{group} {
    together([&] {
        if (group_.instance() == 0) create_file(settings_, origin);
    });
    together([&] {
        find_file(settings_.path);
        created_bytes_ = std::filesystem::file_size(settings_.path);
    });
    ids_.file = open_file(settings_.path, group_.communicator());
}

SharedFile::~SharedFile() {
    if (!is_broken_) return;
    // The library stopped half-way: it cannot close the file, and at the end of MPI it would try again. The
    // coordinator, which has the failure, aborts the job when its ranks do not come to that end.
    static_cast<void>(new Ids{std::move(ids_)});
    std::this_thread::sleep_for(std::chrono::seconds{10});
}

void SharedFile::create_datasets(DType dtype, const Shape& shape) {
    dtype_ = dtype;
    const Shape stored = shape.dims() == 0 ? Shape{1} : shape;
    row_ = settings_.layout == Layout::stack ? stored : without_first(stored);
    row_bytes_ = row_bytes_of(dtype_, row_);
    ids_.data = create_rows(ids_.file.get(), settings_.dataset, dtype_, row_, settings_.storage);
    set_word(ids_.data.get(), "dtype", penstock::name_of(dtype_));
    set_word(ids_.data.get(), "layout", name_of(settings_.layout));
    if (settings_.table) ids_.table.emplace(ids_.file.get(), settings_.dataset);
}

std::vector<hsize_t> SharedFile::extents(std::uint64_t rows) const {
    std::vector<hsize_t> all{rows};
    all.insert(all.end(), row_.extents().begin(), row_.extents().end());
    return all;
}

void SharedFile::write(const std::vector<Part>& parts, const Extent& before, const Extent& all) {
    const Extent at{written_.payloads + before.payloads, written_.rows + before.rows,
                    written_.metadata_bytes + before.metadata_bytes};
    written_ = {written_.payloads + all.payloads, written_.rows + all.rows,
                written_.metadata_bytes + all.metadata_bytes};
    // Before the library knows: it cannot close a file that the disk has no room for.
    together([&] { make_room(); });
    is_broken_ = true;
    check(H5Dset_extent(ids_.data.get(), extents(written_.rows).data()), "HDF5 extents");
    if (ids_.table) ids_.table->extend(written_.payloads, written_.metadata_bytes);
    together([&] { write_alone(parts, at); });
    check(H5Fflush(ids_.file.get(), H5F_SCOPE_GLOBAL), "cannot flush the HDF5 file");
    is_broken_ = false;
}

/// The library does not tell a size that it has not written yet. What of this is not used is cut off at the end.
std::uint64_t SharedFile::most_bytes() const {
    const std::uint64_t chunk_rows = chunk_rows_of(row_bytes_, settings_.storage);
    const std::uint64_t chunks = written_.rows / chunk_rows + 1;
    const std::uint64_t table =
        ids_.table ? SharedTableWriter::most_bytes(written_.payloads, written_.metadata_bytes) : std::uint64_t{0};
    return created_bytes_ + metadata_room + chunks * (chunk_rows * row_bytes_ + index_bytes) + table;
}

/// Has the disk set aside what the file grows by, which says why it cannot.
void SharedFile::make_room() {
    const std::uint64_t needed = most_bytes();
    if (group_.instance() != 0 || needed <= room_) return;
    const UniqueHandle<DescriptorTraits> file{open(settings_.path.c_str(), O_WRONLY | O_CLOEXEC)};
    if (!file) no_room(settings_.path, errno);
    const auto from = static_cast<off_t>(room_);
    int done = 0;
    do {
        done = fallocate(file.get(), 0, from, static_cast<off_t>(needed) - from);
    } while (done != 0 && errno == EINTR);
    // A file system that cannot do it shows a full disk to the write itself.
    if (done != 0 && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) no_room(settings_.path, errno);
    room_ = needed;
}

void SharedFile::write_alone(const std::vector<Part>& parts, const Extent& at) {
    std::uint64_t row = at.rows;
    std::uint64_t gathered_rows = 0;
    gathered_.clear();
    const auto write_gathered = [&] {
        if (gathered_rows > 0) write_rows(row - gathered_rows, gathered_rows, gathered_.data());
        gathered_.clear();
        gathered_rows = 0;
    };
    std::vector<PayloadRow> rows;
    for (const Part& part : parts) {
        if (ids_.table) {
            rows.push_back({.id = part.payload.id(),
                            .user_id = part.payload.user_id(),
                            .format = part.payload.format(),
                            .source_time_ns = part.payload.source_time_ns(),
                            .first_row = row,
                            .rows = part.rows,
                            .metadata = part.metadata});
        }
        if (part.bytes.size() >= worth_a_write) {
            write_gathered();
            write_rows(row, part.rows, part.bytes.data());
            row += part.rows;
            continue;
        }
        gathered_.insert(gathered_.end(), part.bytes.begin(), part.bytes.end());
        gathered_rows += part.rows;
        row += part.rows;
        if (gathered_.size() >= gathered_bytes) write_gathered();
    }
    write_gathered();
    if (ids_.table) ids_.table->write(at.payloads, at.metadata_bytes, rows);
}

void SharedFile::write_rows(std::uint64_t first, std::uint64_t rows, const std::byte* bytes) {
    if (rows == 0 || row_bytes_ == 0) return;
    std::vector<hsize_t> start(row_.dims() + 1, 0);
    start[0] = first;
    const auto count = extents(rows);
    const Id from = made(H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr), "HDF5 extents");
    const Id to = made(H5Dget_space(ids_.data.get()), "HDF5 extents");
    check(H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
          "HDF5 selection");
    check(H5Dwrite(ids_.data.get(), native_type(dtype_), from.get(), to.get(), H5P_DEFAULT, bytes),
          "cannot write to the output file " + path_in_quotes(settings_.path));
}

void SharedFile::complete() {
    ids_.table.reset();
    ids_.data = {};
    ids_.file = {};
    together([&] {
        if (group_.instance() == 0) mark_complete(settings_.path);
    });
}

}  // namespace penstock::hdf5
