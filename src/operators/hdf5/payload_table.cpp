#include "operators/hdf5/payload_table.hpp"

#include <algorithm>
#include <array>

#include "operators/hdf5/row_writer.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

constexpr hsize_t chunk_rows = 512;
constexpr hsize_t read_rows = 1024;
constexpr hsize_t metadata_chunk_bytes = 64U << 10U;
constexpr std::uint64_t index_bytes = 32;  // of a chunk, at most

/// A row in memory, but for its metadata.
struct Numbers {
    std::uint32_t instance;
    std::uint16_t channel;
    std::uint8_t format;
    std::uint8_t has_user_id;
    std::uint64_t sequence;
    std::uint64_t user_id;
    std::uint64_t source_time_ns;
    std::uint64_t first_row;
    std::uint64_t rows;
};
struct Record {
    Numbers numbers;
    char* metadata;
};
struct SharedRecord {
    Numbers numbers;
    std::uint64_t metadata_first;
    std::uint64_t metadata_bytes;
};

struct Column {
    const char* name;
    std::size_t offset;
    hid_t type;
};

std::array<Column, 9> columns() {
    return {{{"instance", HOFFSET(Numbers, instance), H5T_NATIVE_UINT32},
             {"channel", HOFFSET(Numbers, channel), H5T_NATIVE_UINT16},
             {"format", HOFFSET(Numbers, format), H5T_NATIVE_UINT8},
             {"has_user_id", HOFFSET(Numbers, has_user_id), H5T_NATIVE_UINT8},
             {"sequence", HOFFSET(Numbers, sequence), H5T_NATIVE_UINT64},
             {"user_id", HOFFSET(Numbers, user_id), H5T_NATIVE_UINT64},
             {"source_time_ns", HOFFSET(Numbers, source_time_ns), H5T_NATIVE_UINT64},
             {"first_row", HOFFSET(Numbers, first_row), H5T_NATIVE_UINT64},
             {"rows", HOFFSET(Numbers, rows), H5T_NATIVE_UINT64}}};
}

constexpr const char* metadata_column = "metadata";

constexpr const char* metadata_first_column = "metadata_first";
constexpr const char* metadata_bytes_column = "metadata_bytes";
constexpr std::uint64_t most_metadata_bytes = 1U << 20U;  // a payload has at most 64 KiB, which JSON makes longer

Numbers numbers_of(const PayloadRow& row) {
    return {.instance = row.id.instance,
            .channel = row.id.channel,
            .format = static_cast<std::uint8_t>(row.format),
            .has_user_id = row.user_id ? std::uint8_t{1} : std::uint8_t{0},
            .sequence = row.id.sequence,
            .user_id = row.user_id.value_or(0),
            .source_time_ns = row.source_time_ns,
            .first_row = row.first_row,
            .rows = row.rows};
}

PayloadRow row_of(const Numbers& numbers, std::string metadata) {
    PayloadRow row{
        .id = {numbers.instance, numbers.channel, numbers.sequence},
        .user_id = std::nullopt,
        .format = static_cast<Format>(numbers.format <= static_cast<std::uint8_t>(Format::raw) ? numbers.format : 0),
        .source_time_ns = numbers.source_time_ns,
        .first_row = numbers.first_row,
        .rows = numbers.rows,
        .metadata = std::move(metadata)};
    if (numbers.has_user_id != 0) row.user_id = numbers.user_id;
    return row;
}

bool has_number(hid_t type, const char* name) {
    const int index = H5Tget_member_index(type, name);
    return index >= 0 && H5Tget_member_class(type, static_cast<unsigned>(index)) == H5T_INTEGER;
}

/// Whether a compound type has our columns, as numbers, and those of its metadata: one text, or two numbers.
bool has_columns(hid_t type, bool shared) {
    if (H5Tget_class(type) != H5T_COMPOUND) return false;
    for (const Column& column : columns()) {
        if (!has_number(type, column.name)) return false;
    }
    if (shared) return has_number(type, metadata_first_column) && has_number(type, metadata_bytes_column);
    const int index = H5Tget_member_index(type, metadata_column);
    if (index < 0) return false;
    const Id text{H5Tget_member_type(type, static_cast<unsigned>(index))};
    return text && H5Tis_variable_str(text.get()) > 0;
}

Id numbers_type(std::size_t record_bytes) {
    Id type = made(H5Tcreate(H5T_COMPOUND, record_bytes), "HDF5 table");
    for (const Column& column : columns())
        check(H5Tinsert(type.get(), column.name, column.offset, column.type), "HDF5 table");
    return type;
}

Id shared_table_type() {
    Id type = numbers_type(sizeof(SharedRecord));
    check(H5Tinsert(type.get(), metadata_first_column, HOFFSET(SharedRecord, metadata_first), H5T_NATIVE_UINT64),
          "HDF5 table");
    check(H5Tinsert(type.get(), metadata_bytes_column, HOFFSET(SharedRecord, metadata_bytes), H5T_NATIVE_UINT64),
          "HDF5 table");
    return type;
}

Id create_line(hid_t parent, const std::string& name, hid_t type, hsize_t chunk) {
    constexpr hsize_t none = 0;
    constexpr hsize_t most = H5S_UNLIMITED;
    const Id space = made(H5Screate_simple(1, &none, &most), "HDF5 table");
    const Id properties = dataset_properties({&chunk, 1}, {});
    check(H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER), "HDF5 fill time");
    return made(H5Dcreate2(parent, name.c_str(), type, space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
                "cannot create an HDF5 table");
}

void write_line(hid_t dataset, hid_t type, hsize_t first, hsize_t count, const void* elements) {
    const Id from = made(H5Screate_simple(1, &count, nullptr), "HDF5 table");
    const Id to = made(H5Dget_space(dataset), "HDF5 table");
    check(H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr), "HDF5 table");
    check(H5Dwrite(dataset, type, from.get(), to.get(), H5P_DEFAULT, elements), "cannot write an HDF5 table");
}

}  // namespace

std::string table_name(const std::string& dataset) {
    return dataset + "_payloads";
}

std::string metadata_name(const std::string& dataset) {
    return dataset + "_metadata";
}

Id table_type() {
    Id type = numbers_type(sizeof(Record));
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
    for (PayloadRow& row : waiting_) records.push_back({numbers_of(row), row.metadata.data()});
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

SharedTableWriter::SharedTableWriter(hid_t file, const std::string& dataset)
    : rows_{create_line(file, table_name(dataset), shared_table_type().get(), chunk_rows)},
      metadata_{create_line(file, metadata_name(dataset), H5T_NATIVE_UINT8, metadata_chunk_bytes)} {}

void SharedTableWriter::extend(std::uint64_t rows, std::uint64_t metadata_bytes) {
    const hsize_t all_rows = rows;
    const hsize_t all_bytes = metadata_bytes;
    check(H5Dset_extent(rows_.get(), &all_rows), "HDF5 table");
    check(H5Dset_extent(metadata_.get(), &all_bytes), "HDF5 table");
}

std::uint64_t SharedTableWriter::most_bytes(std::uint64_t rows, std::uint64_t metadata_bytes) noexcept {
    constexpr std::uint64_t row_chunk_bytes = chunk_rows * sizeof(SharedRecord);
    return (rows / chunk_rows + 1) * (row_chunk_bytes + index_bytes) +
           (metadata_bytes / metadata_chunk_bytes + 1) * (metadata_chunk_bytes + index_bytes);
}

void SharedTableWriter::write(std::uint64_t first, std::uint64_t metadata_first, const std::vector<PayloadRow>& rows) {
    std::vector<SharedRecord> records;
    records.reserve(rows.size());
    std::string texts;
    for (const PayloadRow& row : rows) {
        records.push_back({numbers_of(row), metadata_first + texts.size(), row.metadata.size()});
        texts += row.metadata;
    }
    if (!texts.empty()) write_line(metadata_.get(), H5T_NATIVE_UINT8, metadata_first, texts.size(), texts.data());
    if (!records.empty()) write_line(rows_.get(), shared_table_type().get(), first, records.size(), records.data());
}

PayloadTableReader::PayloadTableReader(Id dataset, Id metadata)
    : dataset_{std::move(dataset)}, metadata_{std::move(metadata)} {
    if (metadata_) {
        const Id bytes{H5Dget_space(metadata_.get())};
        if (bytes && H5Sget_simple_extent_ndims(bytes.get()) == 1)
            metadata_bytes_ =
                static_cast<std::uint64_t>(std::max<hssize_t>(H5Sget_simple_extent_npoints(bytes.get()), 0));
    }
    const Id type{H5Dget_type(dataset_.get())};
    const Id space{H5Dget_space(dataset_.get())};
    if (!type || !space || H5Sget_simple_extent_ndims(space.get()) != 1 ||
        !has_columns(type.get(), static_cast<bool>(metadata_))) {
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
    loaded_first_ = first;
    if (metadata_) return load_shared(to.get(), from.get(), count);
    std::vector<Record> records(count);
    const Id type = table_type();
    if (H5Dread(dataset_.get(), type.get(), to.get(), from.get(), H5P_DEFAULT, records.data()) < 0)
        fail(Errc::invalid_input, "cannot read the table of the payloads");
    loaded_.clear();
    for (const Record& record : records)
        loaded_.push_back(row_of(record.numbers, record.metadata == nullptr ? "{}" : record.metadata));
    H5Dvlen_reclaim(type.get(), to.get(), H5P_DEFAULT, records.data());
}

void PayloadTableReader::load_shared(hid_t to, hid_t from, std::uint64_t count) {
    std::vector<SharedRecord> records(count);
    if (H5Dread(dataset_.get(), shared_table_type().get(), to, from, H5P_DEFAULT, records.data()) < 0)
        fail(Errc::invalid_input, "cannot read the table of the payloads");
    loaded_.clear();
    for (const SharedRecord& record : records)
        loaded_.push_back(row_of(record.numbers, metadata_at(record.metadata_first, record.metadata_bytes)));
}

std::string PayloadTableReader::metadata_at(std::uint64_t first, std::uint64_t bytes) const {
    if (bytes == 0) return "{}";
    if (first > metadata_bytes_ || bytes > metadata_bytes_ - first || bytes > most_metadata_bytes)
        throw Error{Errc::invalid_input, "a row of the table of the payloads names metadata that are not there"};
    const hsize_t start = first;
    const hsize_t count = bytes;
    std::string text(bytes, '\0');
    const Id to = made(H5Screate_simple(1, &count, nullptr), "HDF5 table");
    const Id from = made(H5Dget_space(metadata_.get()), "HDF5 table");
    check(H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, &start, nullptr, &count, nullptr), "HDF5 table");
    if (H5Dread(metadata_.get(), H5T_NATIVE_UINT8, to.get(), from.get(), H5P_DEFAULT, text.data()) < 0)
        fail(Errc::invalid_input, "cannot read the metadata of the payloads");
    return text;
}

}  // namespace penstock::hdf5
