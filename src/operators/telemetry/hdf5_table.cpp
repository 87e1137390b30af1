#include "operators/telemetry/hdf5_table.hpp"

#include <array>
#include <cstdlib>

#include <fmt/format.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "operators/hdf5/row_writer.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::telemetry {
namespace {

using hdf5::Id;

constexpr std::size_t gpu_fields = 8;
constexpr std::array<const char*, gpu_fields> gpu_field_names{"uuid",     "device_id", "gpu_index", "model_name",
                                                              "hostname", "container", "pod",       "namespace"};
using GpuRow = std::array<const char*, gpu_fields>;

[[nodiscard]] GpuRow row_of(const Gpu& gpu) noexcept {
    return {gpu.uuid.c_str(),     gpu.device_id.c_str(), gpu.gpu_index.c_str(), gpu.model_name.c_str(),
            gpu.hostname.c_str(), gpu.container.c_str(), gpu.pod.c_str(),       gpu.kubernetes_namespace.c_str()};
}

[[nodiscard]] Gpu gpu_of(const GpuRow& row) {
    const auto text = [](const char* field) { return std::string{field == nullptr ? "" : field}; };
    return {text(row[0]), text(row[1]), text(row[2]), text(row[3]),
            text(row[4]), text(row[5]), text(row[6]), text(row[7])};
}

[[nodiscard]] std::string metric_of(std::string_view name) {
    std::string metric;
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name[i] == '%' && i + 2 < name.size()) {
            metric += static_cast<char>(std::strtol(std::string{name.substr(i + 1, 2)}.c_str(), nullptr, 16));
            i += 2;
        } else {
            metric += name[i];
        }
    }
    return metric;
}

}  // namespace

void fail(const std::string& path, std::string_view doing, Errc code) {
    throw Error{code, fmt::format("{} cannot {}: {}", in_quotes(path), doing, hdf5::take_reason())};
}

Table::Table(const std::string& path, hid_t file, const std::string& name, Id type)
    : path_{path}, type_{std::move(type)} {
    set_ = Id{H5Dopen2(file, name.c_str(), H5P_DEFAULT)};
    if (!set_) fail(path_, "be read: no table \"" + name + "\"");
    const Id space{H5Dget_space(set_.get())};
    if (H5Sget_simple_extent_ndims(space.get()) != 1) fail(path_, "be read: \"" + name + "\" is no table");
    H5Sget_simple_extent_dims(space.get(), &rows_, nullptr);
}

Table::Table(const std::string& path, hid_t parent, const std::string& name, Id type, hsize_t chunk)
    : path_{path}, type_{std::move(type)} {
    constexpr hsize_t most = H5S_UNLIMITED;
    const Id space = hdf5::made(H5Screate_simple(1, &rows_, &most), "HDF5 extents");
    set_ = Id{H5Dcreate2(parent, name.c_str(), type_.get(), space.get(), H5P_DEFAULT,
                         hdf5::dataset_properties({&chunk, 1}, {}).get(), H5P_DEFAULT)};
    if (!set_) fail(path_, "be written", Errc::failed);
}

void Table::append(hsize_t count, const void* rows) {
    if (count == 0) return;
    const hsize_t first = rows_;
    const hsize_t grown = first + count;
    if (H5Dset_extent(set_.get(), &grown) < 0) fail(path_, "be written", Errc::failed);
    rows_ = grown;
    const auto [memory, file] = spaces(first, count);
    if (H5Dwrite(set_.get(), type_.get(), memory.get(), file.get(), H5P_DEFAULT, rows) < 0)
        fail(path_, "be written", Errc::failed);
}

void Table::read(hsize_t first, hsize_t count, void* rows) const {
    if (count == 0) return;
    const auto [memory, file] = spaces(first, count);
    if (H5Dread(set_.get(), type_.get(), memory.get(), file.get(), H5P_DEFAULT, rows) < 0) fail(path_, "be read");
}

void Table::reclaim(hsize_t count, void* rows) const {
    const Id memory{H5Screate_simple(1, &count, nullptr)};
    H5Dvlen_reclaim(type_.get(), memory.get(), H5P_DEFAULT, rows);
}

std::pair<Id, Id> Table::spaces(hsize_t first, hsize_t count) const {
    Id file{H5Dget_space(set_.get())};
    H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr);
    return {Id{H5Screate_simple(1, &count, nullptr)}, std::move(file)};
}

Id gpu_type() {
    const Id text = hdf5::text_type();
    Id type{H5Tcreate(H5T_COMPOUND, sizeof(GpuRow))};
    for (std::size_t i = 0; i < gpu_fields; ++i)
        H5Tinsert(type.get(), gpu_field_names[i], i * sizeof(char*), text.get());
    return type;
}

Id value_type() {
    Id type{H5Tcreate(H5T_COMPOUND, sizeof(Row))};
    H5Tinsert(type.get(), "time_ns", HOFFSET(Row, time_ns), H5T_NATIVE_INT64);
    H5Tinsert(type.get(), "value", HOFFSET(Row, value), H5T_NATIVE_DOUBLE);
    H5Tinsert(type.get(), "gpu", HOFFSET(Row, gpu), H5T_NATIVE_UINT32);
    H5Tinsert(type.get(), "labels", HOFFSET(Row, labels), H5T_NATIVE_UINT32);
    return type;
}

std::vector<Gpu> read_gpu_rows(const Table& table) {
    std::vector<GpuRow> raw(table.rows());
    table.read(0, raw.size(), raw.data());
    std::vector<Gpu> gpus;
    for (const GpuRow& row : raw) gpus.push_back(gpu_of(row));
    table.reclaim(raw.size(), raw.data());
    return gpus;
}

void append_gpus(Table& table, const std::vector<Gpu>& gpus) {
    std::vector<GpuRow> rows;
    for (const Gpu& gpu : gpus) rows.push_back(row_of(gpu));
    table.append(rows.size(), rows.data());
}

std::vector<std::string> read_texts(const Table& table, hsize_t first, hsize_t count) {
    std::vector<char*> raw(count);
    table.read(first, count, raw.data());
    std::vector<std::string> texts;
    for (const char* text : raw) texts.emplace_back(text == nullptr ? "" : text);
    table.reclaim(count, raw.data());
    return texts;
}

void append_texts(Table& table, const std::vector<std::string>& texts, std::size_t first) {
    std::vector<const char*> starts;
    for (std::size_t i = first; i < texts.size(); ++i) starts.push_back(texts[i].c_str());
    table.append(starts.size(), starts.data());
}

std::string table_name(std::string_view metric) {
    std::string name;
    for (const char c : metric) {
        if (c == '/' || c == '%' || c == '\0' || (c == '.' && name.empty())) {
            name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        } else {
            name += c;
        }
    }
    return std::string{metrics_name} + "/" + name;
}

bool has_metric(hid_t file, std::string_view metric) {
    return H5Lexists(file, metrics_name, H5P_DEFAULT) > 0 &&
           H5Lexists(file, table_name(metric).c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> metrics_in(hid_t file) {
    std::vector<std::string> names;
    if (H5Lexists(file, metrics_name, H5P_DEFAULT) <= 0) return names;
    const Id group{H5Gopen2(file, metrics_name, H5P_DEFAULT)};
    const auto add = [](hid_t, const char* name, const H5L_info_t*, void* into) -> herr_t {
        static_cast<std::vector<std::string>*>(into)->push_back(metric_of(name));
        return 0;
    };
    H5Literate(group.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, add, &names);
    return names;
}

Id open_to_read(const std::string& path) {
    Id file{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)};
    if (!file) fail(path, "be read as HDF5");
    return file;
}

}  // namespace penstock::telemetry
