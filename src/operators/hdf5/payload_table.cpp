#include "operators/hdf5/payload_table.hpp"

#include <algorithm>
#include <array>

#include "operators/hdf5/row_writer.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

constexpr hsize_t chunk_rows = 512;
constexpr hsize_t read_rows = 1024;

/// A row in memory.
struct Record {
    std::uint32_t instance;
    std::uint16_t channel;
    std::uint8_t format;
    std::uint8_t has_user_id;
    std::uint64_t sequence;
    std::uint64_t user_id;
    std::uint64_t source_time_ns;
    std::uint64_t first_row;
    std::uint64_t rows;
    char* metadata;
};

struct Column {
    const char* name;
    std::size_t offset;
    hid_t type;
};

std::array<Column, 9> columns() {
    return {{{"instance", HOFFSET(Record, instance), H5T_NATIVE_UINT32},
             {"channel", HOFFSET(Record, channel), H5T_NATIVE_UINT16},
             {"format", HOFFSET(Record, format), H5T_NATIVE_UINT8},
             {"has_user_id", HOFFSET(Record, has_user_id), H5T_NATIVE_UINT8},
             {"sequence", HOFFSET(Record, sequence), H5T_NATIVE_UINT64},
             {"user_id", HOFFSET(Record, user_id), H5T_NATIVE_UINT64},
             {"source_time_ns", HOFFSET(Record, source_time_ns), H5T_NATIVE_UINT64},
             {"first_row", HOFFSET(Record, first_row), H5T_NATIVE_UINT64},
             {"rows", HOFFSET(Record, rows), H5T_NATIVE_UINT64}}};
}

constexpr const char* metadata_column = "metadata";

Record record_of(PayloadRow& row) {
    return {.instance = row.id.instance,
            .channel = row.id.channel,
            .format = static_cast<std::uint8_t>(row.format),
            .has_user_id = row.user_id ? std::uint8_t{1} : std::uint8_t{0},
            .sequence = row.id.sequence,
            .user_id = row.user_id.value_or(0),
            .source_time_ns = row.source_time_ns,
            .first_row = row.first_row,
            .rows = row.rows,
            .metadata = row.metadata.data()};
}

PayloadRow row_of(const Record& record) {
    PayloadRow row{
        .id = {record.instance, record.channel, record.sequence},
        .user_id = std::nullopt,
        .format = static_cast<Format>(record.format <= static_cast<std::uint8_t>(Format::raw) ? record.format : 0),
        .source_time_ns = record.source_time_ns,
        .first_row = record.first_row,
        .rows = record.rows,
        .metadata = record.metadata == nullptr ? "{}" : record.metadata};
    if (record.has_user_id != 0) row.user_id = record.user_id;
    return row;
}

/// Whether a compound type has our columns, as numbers and one text.
bool has_columns(hid_t type) {
    if (H5Tget_class(type) != H5T_COMPOUND) return false;
    for (const Column& column : columns()) {
        const int index = H5Tget_member_index(type, column.name);
        if (index < 0 || H5Tget_member_class(type, static_cast<unsigned>(index)) != H5T_INTEGER) return false;
    }
    const int index = H5Tget_member_index(type, metadata_column);
    if (index < 0) return false;
    const Id text{H5Tget_member_type(type, static_cast<unsigned>(index))};
    return text && H5Tis_variable_str(text.get()) > 0;
}

}  // namespace

std::string table_name(const std::string& dataset) {
    return dataset + "_payloads";
}

Id table_type() {
    Id type = made(H5Tcreate(H5T_COMPOUND, sizeof(Record)), "HDF5 table");
    for (const Column& column : columns())
        check(H5Tinsert(type.get(), column.name, column.offset, column.type), "HDF5 table");
    check(H5Tinsert(type.get(), metadata_column, HOFFSET(Record, metadata), text_type().get()), "HDF5 table");
    return type;
}

PayloadTableWriter::PayloadTableWriter(hid_t parent, const std::string& name) {
    constexpr hsize_t none = 0;
    constexpr hsize_t most = H5S_UNLIMITED;
    const Id space = made(H5Screate_simple(1, &none, &most), "HDF5 table");
    dataset_ = made(H5Dcreate2(parent, name.c_str(), table_type().get(), space.get(), H5P_DEFAULT,
                               dataset_properties({&chunk_rows, 1}, {}).get(), H5P_DEFAULT),
                    "cannot create an HDF5 table");
}

void PayloadTableWriter::flush() {
    if (waiting_.empty()) return;
    std::vector<Record> records;
    records.reserve(waiting_.size());
    for (PayloadRow& row : waiting_) records.push_back(record_of(row));
    const hsize_t first = written_;
    const hsize_t count = records.size();
    const hsize_t all = first + count;
    check(H5Dset_extent(dataset_.get(), &all), "HDF5 table");
    const Id from = made(H5Screate_simple(1, &count, nullptr), "HDF5 table");
    const Id to = made(H5Dget_space(dataset_.get()), "HDF5 table");
    check(H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr), "HDF5 table");
    check(H5Dwrite(dataset_.get(), table_type().get(), from.get(), to.get(), H5P_DEFAULT, records.data()),
          "cannot write an HDF5 table");
    written_ = all;
    waiting_.clear();
}

PayloadTableReader::PayloadTableReader(Id dataset) : dataset_{std::move(dataset)} {
    const Id type{H5Dget_type(dataset_.get())};
    const Id space{H5Dget_space(dataset_.get())};
    if (!type || !space || H5Sget_simple_extent_ndims(space.get()) != 1 || !has_columns(type.get())) {
        throw Error{Errc::invalid_input,
                    "the table of the payloads has other columns than hdf5_sink writes; set "
                    "\"payloads\" to false to read the rows without it"};
    }
    size_ = static_cast<std::uint64_t>(std::max<hssize_t>(H5Sget_simple_extent_npoints(space.get()), 0));
}

const PayloadRow& PayloadTableReader::at(std::uint64_t index) {
    if (index < loaded_first_ || index - loaded_first_ >= loaded_.size()) load(index);
    return loaded_[index - loaded_first_];
}

void PayloadTableReader::load(std::uint64_t first) {
    const hsize_t start = first;
    const hsize_t count = std::min<hsize_t>(read_rows, size_ - first);
    const Id to = made(H5Screate_simple(1, &count, nullptr), "HDF5 table");
    const Id from = made(H5Dget_space(dataset_.get()), "HDF5 table");
    check(H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr), "HDF5 table");
    std::vector<Record> records(count);
    const Id type = table_type();
    if (H5Dread(dataset_.get(), type.get(), to.get(), from.get(), H5P_DEFAULT, records.data()) < 0)
        fail(Errc::invalid_input, "cannot read the table of the payloads");
    loaded_.clear();
    for (const Record& record : records) loaded_.push_back(row_of(record));
    loaded_first_ = first;
    H5Dvlen_reclaim(type.get(), to.get(), H5P_DEFAULT, records.data());
}

}  // namespace penstock::hdf5
