#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fuzzer/FuzzedDataProvider.h>
#include <unistd.h>

#include <penstock/error.hpp>
#include <penstock/operator.hpp>

#include "operators/hdf5/handles.hpp"
#include "operators/hdf5/types.hpp"
#include "support/fake_runtime.hpp"

// The library writes a file of whatever form the fuzzer thinks of, so that it is our reading of it that is tested:
// HDF5 1.10 itself crashes on bytes that it has not written.

namespace {

using namespace penstock;
using hdf5::Id;
using Bytes = FuzzedDataProvider;

constexpr std::size_t arena_bytes = 4U << 20U;
constexpr int most_payloads = 32;
constexpr hsize_t most_extent = 40;
constexpr std::size_t most_elements = 1600;
constexpr const char* dataset_name = "data";

Id number_type(Bytes& bytes) {
    const hid_t types[] = {H5T_STD_I8LE,   H5T_STD_U8LE,   H5T_STD_I16BE,     H5T_STD_U16LE,
                           H5T_STD_I32LE,  H5T_STD_U32BE,  H5T_STD_I64LE,     H5T_STD_U64LE,
                           H5T_IEEE_F32LE, H5T_IEEE_F64BE, H5T_NATIVE_LDOUBLE};
    Id type{H5Tcopy(bytes.PickValueInArray(types))};
    if (bytes.ConsumeProbability<double>() < 0.2) H5Tset_precision(type.get(), bytes.ConsumeIntegralInRange(1U, 64U));
    if (bytes.ConsumeProbability<double>() < 0.2) H5Tset_size(type.get(), bytes.ConsumeIntegralInRange(1U, 20U));
    return type;
}

Id text_type(Bytes& bytes, bool may_vary) {
    Id type{H5Tcopy(H5T_C_S1)};
    const bool varies = may_vary && bytes.ConsumeBool();
    H5Tset_size(type.get(), varies ? H5T_VARIABLE : bytes.ConsumeIntegralInRange<std::size_t>(1, 80));
    H5Tset_cset(type.get(), bytes.ConsumeBool() ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
    H5Tset_strpad(type.get(), bytes.ConsumeBool() ? H5T_STR_NULLPAD : H5T_STR_SPACEPAD);
    return type;
}

Id other_type(Bytes& bytes) {
    const Id inner = number_type(bytes);
    const hsize_t extent = bytes.ConsumeIntegralInRange<hsize_t>(1, 4);
    switch (bytes.ConsumeIntegralInRange(0, 5)) {
        case 0: return Id{H5Tarray_create2(inner.get(), 1, &extent)};
        case 1: return Id{H5Tvlen_create(inner.get())};
        case 2: return Id{H5Tcreate(H5T_OPAQUE, extent)};
        case 3: return Id{H5Tcopy(H5T_STD_REF_OBJ)};
        case 4: return Id{H5Tcopy(H5T_STD_B32LE)};
        default: {
            Id type{H5Tcreate(H5T_COMPOUND, H5Tget_size(inner.get()) + extent)};
            H5Tinsert(type.get(), "a", extent, inner.get());
            return type;
        }
    }
}

Id space_of(Bytes& bytes, std::vector<hsize_t>& extents) {
    extents.resize(bytes.ConsumeIntegralInRange<std::size_t>(0, 10));
    for (hsize_t& extent : extents)
        extent = bytes.ConsumeIntegralInRange<hsize_t>(0, extents.size() > 3 ? 3 : most_extent);
    if (bytes.ConsumeProbability<double>() < 0.05) return Id{H5Screate(H5S_NULL)};
    if (extents.empty()) return Id{H5Screate(H5S_SCALAR)};
    return Id{H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr)};
}

Id layout_of(Bytes& bytes, const std::vector<hsize_t>& extents) {
    Id properties{H5Pcreate(H5P_DATASET_CREATE)};
    const bool has_chunks = !extents.empty() && std::ranges::count(extents, hsize_t{0}) == 0 && bytes.ConsumeBool();
    if (!has_chunks) return properties;
    std::vector<hsize_t> chunk;
    for (const hsize_t extent : extents) chunk.push_back(bytes.ConsumeIntegralInRange<hsize_t>(1, extent));
    H5Pset_chunk(properties.get(), static_cast<int>(chunk.size()), chunk.data());
    if (bytes.ConsumeBool()) H5Pset_deflate(properties.get(), 1);
    if (bytes.ConsumeBool()) H5Pset_shuffle(properties.get());
    if (bytes.ConsumeBool()) H5Pset_fletcher32(properties.get());
    return properties;
}

/// Elements of a type without pointers, from the fuzzer's bytes and then zeros.
std::vector<std::byte> elements(Bytes& bytes, std::size_t size) {
    std::vector<std::byte> data(size);
    const auto given = bytes.ConsumeBytes<std::byte>(std::min<std::size_t>(size, 256));
    std::copy(given.begin(), given.end(), data.begin());
    return data;
}

void write_attribute(Bytes& bytes, hid_t object, const char* name) {
    if (bytes.ConsumeProbability<double>() < 0.3) {
        const char* const words[] = {"bytes", "text", "stack", "append", "no"};
        return hdf5::set_word(object, name, bytes.PickValueInArray(words));
    }
    const Id type = bytes.ConsumeBool() ? text_type(bytes, false) : number_type(bytes);
    const hsize_t count = bytes.ConsumeIntegralInRange<hsize_t>(0, 3);
    const Id space{count == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &count, nullptr)};
    const Id attribute{H5Acreate2(object, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT)};
    H5Awrite(attribute.get(), type.get(),
             elements(bytes, std::max<hsize_t>(count, 1) * H5Tget_size(type.get())).data());
}

void write_texts(Bytes& bytes, hid_t dataset, hid_t type, std::size_t count) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < count; ++i) texts.push_back(bytes.ConsumeRandomLengthString(200));
    std::vector<const char*> starts;
    for (const std::string& text : texts) starts.push_back(bytes.ConsumeBool() ? text.c_str() : nullptr);
    H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, starts.data());
}

void write_dataset(Bytes& bytes, hid_t file) {
    const double kind = bytes.ConsumeProbability<double>();
    const Id type = kind < 0.7 ? number_type(bytes) : kind < 0.9 ? text_type(bytes, true) : other_type(bytes);
    std::vector<hsize_t> extents;
    const Id space = space_of(bytes, extents);
    const Id dataset{H5Dcreate2(file, dataset_name, type.get(), space.get(), H5P_DEFAULT,
                                layout_of(bytes, extents).get(), H5P_DEFAULT)};
    if (!dataset) return;
    for (const char* name : {"dtype", "layout"}) {
        if (bytes.ConsumeBool()) write_attribute(bytes, dataset.get(), name);
    }
    const auto count = static_cast<std::size_t>(std::max<hssize_t>(H5Sget_simple_extent_npoints(space.get()), 0));
    if (count == 0 || count > most_elements) return;  // it has the fill value
    if (H5Tis_variable_str(type.get()) > 0) return write_texts(bytes, dataset.get(), type.get(), count);
    if (H5Tdetect_class(type.get(), H5T_VLEN) > 0 || H5Tdetect_class(type.get(), H5T_REFERENCE) > 0) return;
    H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT,
             elements(bytes, count * H5Tget_size(type.get())).data());
}

/// The table of payloads, with more or fewer or other columns than there should be.
void write_table(Bytes& bytes, hid_t file) {
    constexpr std::array names{"instance",       "channel",   "format", "has_user_id",    "sequence",      "user_id",
                               "source_time_ns", "first_row", "rows",   "metadata_first", "metadata_bytes"};
    constexpr std::size_t column_bytes = 8;
    const Id type{H5Tcreate(H5T_COMPOUND, (names.size() + 1) * column_bytes)};
    const bool is_ours = bytes.ConsumeProbability<double>() < 0.8;
    const Id text = hdf5::text_type();
    for (std::size_t i = 0; i < names.size(); ++i) {
        const hid_t types[] = {H5T_NATIVE_UINT64, H5T_NATIVE_INT8, H5T_NATIVE_DOUBLE, H5T_NATIVE_UINT16};
        if (is_ours || bytes.ConsumeBool()) {
            H5Tinsert(type.get(), names[i], i * column_bytes,
                      is_ours ? H5T_NATIVE_UINT64 : bytes.PickValueInArray(types));
        }
    }
    const bool has_text = bytes.ConsumeBool();
    if (has_text) H5Tinsert(type.get(), "metadata", names.size() * column_bytes, text.get());
    const hsize_t rows = bytes.ConsumeIntegralInRange<hsize_t>(0, 8);
    const Id space{H5Screate_simple(1, &rows, nullptr)};
    const Id dataset{H5Dcreate2(file, "data_payloads", type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)};
    if (!dataset || rows == 0) return;
    std::vector<std::string> texts(rows);
    std::vector<std::uint64_t> records;
    for (std::string& each : texts) {
        for (std::size_t i = 0; i < names.size(); ++i) {
            records.push_back(bytes.ConsumeBool() ? bytes.ConsumeIntegralInRange(0U, 3U)
                                                  : bytes.ConsumeIntegral<std::uint64_t>());
        }
        each = bytes.ConsumeRandomLengthString(300);
        records.push_back(reinterpret_cast<std::uintptr_t>(each.c_str()));
    }
    H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, records.data());
    if (has_text && bytes.ConsumeBool()) return;
    const std::string metadata = bytes.ConsumeRandomLengthString(400);
    const hsize_t size = metadata.size();
    const Id line{H5Screate_simple(1, &size, nullptr)};
    const Id beside{
        H5Dcreate2(file, "data_metadata", H5T_NATIVE_UINT8, line.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)};
    if (beside && size > 0) H5Dwrite(beside.get(), H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, metadata.data());
}

void write_file(Bytes& bytes, const std::string& path) {
    const hdf5::Guard guard;
    const Id file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)};
    if (!file) __builtin_trap();
    if (bytes.ConsumeProbability<double>() < 0.05) {
        const Id group{H5Gcreate2(file.get(), dataset_name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT)};
    } else {
        write_dataset(bytes, file.get());
    }
    if (bytes.ConsumeBool()) write_table(bytes, file.get());
    H5Eclear2(H5E_DEFAULT);
}

Params completed() {
    const Registry registry = Registry::with_builtins();
    return registry.complete(*registry.find("hdf5_source"), test::params({{"input", ParamValue{std::string{"?"}}}}),
                             {});
}

void read(const std::string& path, std::int64_t rows, bool payloads) {
    static const Registry registry = Registry::with_builtins();
    static Params given = completed();
    given.set("input", ParamValue{path});
    given.set("rows", ParamValue{rows});
    given.set("payloads", ParamValue{payloads});
    test::FakeContext context;
    test::FakeOutput out{arena_bytes};
    try {
        const auto source = std::get<std::unique_ptr<Source>>(registry.make("hdf5_source", given, context));
        for (int i = 0; i < most_payloads && source->produce(out); ++i) out.emitted.clear();
    } catch (const Error& error) {
        if (error.code() == Errc::internal) __builtin_trap();
    } catch (const std::bad_optional_access&) {  // what the test's arena says when it is too small
    }
}

}  // namespace

/// The library does not free everything when it refuses a file.
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libhdf5";
}

/// Whatever form an HDF5 file has, the source reads it or says why not.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Bytes bytes{data, size};
    static const std::string path =
        (std::filesystem::temp_directory_path() / ("penstock-fuzz-" + std::to_string(getpid()))).string();
    const auto rows = bytes.ConsumeIntegralInRange<std::int64_t>(0, 255);
    const bool payloads = bytes.ConsumeBool();
    write_file(bytes, path);
    // A file that has lost its end is refused by the library.
    if (bytes.ConsumeProbability<double>() < 0.05) {
        std::filesystem::resize_file(path, std::filesystem::file_size(path) * 3 / 4);
    }
    read(path, rows, payloads);
    std::filesystem::remove(path);
    return 0;
}
