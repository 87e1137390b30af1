#include "operators/hdf5/result_file.hpp"

#include <functional>
#include <numeric>

#include <fmt/format.h>

#include "operators/hdf5/metadata_json.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

constexpr std::uint64_t datasets_in_group = 128;
constexpr unsigned most_links = 65535;  // in a group's header

std::vector<hsize_t> extents_of(const Shape& shape) {
    return {shape.extents().begin(), shape.extents().end()};
}

}  // namespace

std::string_view name_of(Layout layout) noexcept {
    switch (layout) {
        case Layout::append: return "append";
        case Layout::separate: return "separate";
        case Layout::stack: break;
    }
    return "stack";
}

Shape stored_shape(const Payload& payload) {
    const Shape shape = payload.shape();
    return shape.dims() == 0 ? Shape{payload.size_bytes() / size_of(payload.dtype())} : shape;
}

Shape without_first(const Shape& shape) {
    return Shape{shape.extents().subspan(1)};
}

ResultFile::ResultFile(ResultSettings settings, const Origin& origin)
    : settings_{std::move(settings)}, bytes_{settings_.path}, file_{bytes_.create()} {
    bytes_.guard([&] {
        describe_origin(file_.get(), origin);
        set_attribute(file_.get(), "complete", std::uint64_t{0});
        flush();
        bytes_.commit();
    });
    bytes_.publish();
}

ResultFile::~ResultFile() = default;

void ResultFile::describe_dataset(hid_t dataset, DType dtype) {
    set_word(dataset, "dtype", penstock::name_of(dtype));
    set_word(dataset, "layout", name_of(settings_.layout));
}

void ResultFile::write(const Payload& payload, std::span<const std::byte> bytes) {
    bytes_.guard([&] {
        if (settings_.layout == Layout::separate) return write_alone(payload, bytes);
        const std::uint64_t first = rows_ ? rows_->rows() : (texts_ ? texts_->rows() : 0);
        const std::uint64_t rows = write_rows(payload, bytes);
        write_table(payload, first, rows);
    });
}

/// @return the number of rows it became.
std::uint64_t ResultFile::write_rows(const Payload& payload, std::span<const std::byte> bytes) {
    const bool stack = settings_.layout == Layout::stack;
    if (stack && payload.dtype() == DType::text) {
        if (!texts_) {
            texts_.emplace(file_.get(), settings_.dataset);
            describe_dataset(texts_->dataset(), DType::text);
        }
        texts_->append({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
        return 1;
    }
    const Shape shape = stored_shape(payload);
    if (!rows_) {
        rows_.emplace(bytes_, file_.get(), settings_.dataset, payload.dtype(), stack ? shape : without_first(shape),
                      settings_.storage);
        describe_dataset(rows_->dataset(), payload.dtype());
    }
    const std::uint64_t rows = stack ? 1 : shape[0];
    rows_->append(rows, bytes);
    return rows;
}

void ResultFile::write_alone(const Payload& payload, std::span<const std::byte> bytes) {
    const hid_t lot = lot_of(payload.id());
    const std::string name = name_alone(lot, payload.id());
    const Shape shape = stored_shape(payload);
    const auto extents = extents_of(shape);
    const bool text = payload.dtype() == DType::text;
    const bool chunked = settings_.storage.compression != Compression::none && !bytes.empty() && !text &&
                         bytes.size() <= max_chunk_bytes;
    const Id type = text ? text_type() : made(H5Tcopy(native_type(payload.dtype())), "HDF5 type");
    const Id space =
        text ? made(H5Screate(H5S_SCALAR), "HDF5 extents")
             : made(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), "HDF5 extents");
    const Id properties =
        dataset_properties(chunked ? std::span<const hsize_t>{extents} : std::span<const hsize_t>{}, settings_.storage);
    const Id dataset =
        made(H5Dcreate2(lot, name.c_str(), type.get(), space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
             "cannot create an HDF5 dataset");
    describe_dataset(dataset.get(), payload.dtype());
    if (text) {
        const std::string copy{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
        const char* const start = copy.c_str();
        check(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &start), "cannot write an HDF5 text");
    } else if (!bytes.empty()) {
        check(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()),
              "cannot write an HDF5 dataset");
    }
    write_table(payload, 0, text || shape.dims() == 0 ? 1 : shape[0]);
}

/// The group of a payload's dataset. Groups are small, because their links are all in their headers: only there a new
/// link appears with one write.
hid_t ResultFile::lot_of(PayloadId id) {
    const std::string path = fmt::format("{}/{}.{}/{}", settings_.dataset, id.instance, id.channel,
                                         id.sequence / datasets_in_group * datasets_in_group);
    if (lot_ && path == lot_path_) return lot_.get();
    lot_ = {};
    for (std::size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
        const std::string group = path.substr(0, slash);
        if (H5Lexists(file_.get(), group.c_str(), H5P_DEFAULT) <= 0) create_group(group);
        if (slash == std::string::npos) break;
    }
    lot_ = made(H5Gopen2(file_.get(), path.c_str(), H5P_DEFAULT), "cannot open an HDF5 group");
    lot_path_ = path;
    return lot_.get();
}

void ResultFile::create_group(const std::string& path) {
    const Id properties = made(H5Pcreate(H5P_GROUP_CREATE), "HDF5 group");
    check(H5Pset_link_phase_change(properties.get(), most_links, most_links - 1), "HDF5 group");
    const Id group = made(H5Gcreate2(file_.get(), path.c_str(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
                          "cannot create an HDF5 group");
    if (path == settings_.dataset) set_word(group.get(), "layout", name_of(settings_.layout));
}

/// A payload that comes twice, on two ways, is written twice.
std::string ResultFile::name_alone(hid_t lot, PayloadId id) {
    const std::string base = fmt::format("{}.{}.{}", id.instance, id.channel, id.sequence);
    std::string name = base;
    for (int again = 2; H5Lexists(lot, name.c_str(), H5P_DEFAULT) > 0; ++again)
        name = fmt::format("{}-{}", base, again);
    return name;
}

void ResultFile::write_table(const Payload& payload, std::uint64_t first_row, std::uint64_t rows) {
    if (!settings_.table) return;
    if (!table_) table_.emplace(file_.get(), table_name(settings_.dataset));
    table_->add({.id = payload.id(),
                 .user_id = payload.user_id(),
                 .format = payload.format(),
                 .source_time_ns = payload.source_time_ns(),
                 .first_row = first_row,
                 .rows = rows,
                 .metadata = metadata_json(payload.metadata())});
}

void ResultFile::flush() {
    if (rows_) rows_->flush();
    if (texts_) texts_->flush();
    // The table must not show what is not there. Its header lies behind the one of a dataset and so is written later,
    // but not behind those of new groups.
    if (lot_ && table_) {
        check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "cannot flush the HDF5 file");
        bytes_.commit();
    }
    if (table_) table_->flush();
    check(H5Fflush(file_.get(), H5F_SCOPE_LOCAL), "cannot flush the HDF5 file");
}

void ResultFile::commit() {
    bytes_.guard([&] {
        flush();
        bytes_.commit();
    });
}

void ResultFile::complete() {
    bytes_.guard([&] {
        set_attribute(file_.get(), "complete", std::uint64_t{1});
        flush();
        rows_.reset();
        texts_.reset();
        table_.reset();
        lot_ = {};
        file_ = {};
    });
    bytes_.sync();
}

}  // namespace penstock::hdf5
