#include "operators/hdf5/types.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace penstock::hdf5 {
namespace {

constexpr std::array numeric{DType::i8,  DType::u8,  DType::i16, DType::u16, DType::i32,
                             DType::u32, DType::i64, DType::u64, DType::f32, DType::f64};

/// Makes the attribute, or finds the one that is there.
Id attribute(hid_t object, const char* name, hid_t type, hid_t space) {
    if (H5Aexists(object, name) > 0) return made(H5Aopen(object, name, H5P_DEFAULT), "HDF5 attribute");
    return made(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), "HDF5 attribute");
}

}  // namespace

hid_t native_type(DType dtype) {
    switch (dtype) {
        case DType::i8: return H5T_NATIVE_INT8;
        case DType::i16: return H5T_NATIVE_INT16;
        case DType::u16: return H5T_NATIVE_UINT16;
        case DType::i32: return H5T_NATIVE_INT32;
        case DType::u32: return H5T_NATIVE_UINT32;
        case DType::i64: return H5T_NATIVE_INT64;
        case DType::u64: return H5T_NATIVE_UINT64;
        case DType::f32: return H5T_NATIVE_FLOAT;
        case DType::f64: return H5T_NATIVE_DOUBLE;
        case DType::bytes:
        case DType::text:
        case DType::u8: break;
    }
    return H5T_NATIVE_UINT8;
}

Id text_type() {
    Id type = made(H5Tcopy(H5T_C_S1), "HDF5 text type");
    check(H5Tset_size(type.get(), H5T_VARIABLE), "HDF5 text type");
    check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "HDF5 text type");
    return type;
}

std::optional<DType> dtype_of_stored(hid_t type) {
    const H5T_class_t kind = H5Tget_class(type);
    if (kind != H5T_INTEGER && kind != H5T_FLOAT) return std::nullopt;
    const Id native{H5Tget_native_type(type, H5T_DIR_ASCEND)};
    if (!native) return std::nullopt;
    for (const DType dtype : numeric) {
        if (H5Tget_size(type) == size_of(dtype) && H5Tequal(native.get(), native_type(dtype)) > 0) return dtype;
    }
    return std::nullopt;
}

std::string describe_type(hid_t type) {
    switch (H5Tget_class(type)) {
        case H5T_INTEGER: return fmt::format("an integer type of {} bytes", H5Tget_size(type));
        case H5T_FLOAT: return fmt::format("a floating-point type of {} bytes", H5Tget_size(type));
        case H5T_STRING: return H5Tis_variable_str(type) > 0 ? "text of variable length" : "text of fixed length";
        case H5T_COMPOUND: return "a compound type";
        case H5T_VLEN: return "a type of variable length";
        case H5T_ENUM: return "an enumeration";
        case H5T_ARRAY: return "an array type";
        case H5T_REFERENCE: return "a reference";
        case H5T_OPAQUE: return "an opaque type";
        case H5T_BITFIELD: return "a bit field";
        default: return "a type unknown here";
    }
}

std::string describe(DType dtype, const Shape& shape) {
    return fmt::format("{} [{}]", name_of(dtype), fmt::join(shape.extents(), ", "));
}

void set_attribute(hid_t object, const char* name, const std::string& text) {
    const Id type = text_type();
    const Id space = made(H5Screate(H5S_SCALAR), "HDF5 attribute");
    const char* const start = text.c_str();
    check(H5Awrite(attribute(object, name, type.get(), space.get()).get(), type.get(), &start), "HDF5 attribute");
}

void set_attribute(hid_t object, const char* name, const std::vector<std::string>& texts) {
    const Id type = text_type();
    const hsize_t count = texts.size();
    const Id space = made(H5Screate_simple(1, &count, nullptr), "HDF5 attribute");
    std::vector<const char*> starts;
    for (const auto& text : texts) starts.push_back(text.c_str());
    const Id made_attribute = attribute(object, name, type.get(), space.get());
    if (count > 0) check(H5Awrite(made_attribute.get(), type.get(), starts.data()), "HDF5 attribute");
}

void set_attribute(hid_t object, const char* name, std::uint64_t number) {
    const Id space = made(H5Screate(H5S_SCALAR), "HDF5 attribute");
    check(H5Awrite(attribute(object, name, H5T_NATIVE_UINT64, space.get()).get(), H5T_NATIVE_UINT64, &number),
          "HDF5 attribute");
}

void set_word(hid_t object, const char* name, std::string_view word) {
    const Id type = made(H5Tcopy(H5T_C_S1), "HDF5 text type");
    check(H5Tset_size(type.get(), word.size()), "HDF5 text type");
    check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "HDF5 text type");
    const Id space = made(H5Screate(H5S_SCALAR), "HDF5 attribute");
    check(H5Awrite(attribute(object, name, type.get(), space.get()).get(), type.get(), word.data()), "HDF5 attribute");
}

std::optional<std::string> word_attribute(hid_t object, const char* name) {
    constexpr std::size_t longest = 64;
    if (H5Aexists(object, name) <= 0) return std::nullopt;
    const Id attribute_id{H5Aopen(object, name, H5P_DEFAULT)};
    if (!attribute_id) return std::nullopt;
    const Id type{H5Aget_type(attribute_id.get())};
    const Id space{H5Aget_space(attribute_id.get())};
    if (!type || !space || H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
        return std::nullopt;
    const std::size_t size = H5Tget_size(type.get());
    if (size == 0 || size > longest || H5Sget_simple_extent_npoints(space.get()) != 1) return std::nullopt;
    std::string word(size, '\0');
    if (H5Aread(attribute_id.get(), type.get(), word.data()) < 0) return std::nullopt;
    word.resize(std::min(word.find('\0'), size));
    return word;
}

std::optional<std::string> text_attribute(hid_t object, const char* name) {
    if (H5Aexists(object, name) <= 0) return std::nullopt;
    const Id attribute_id{H5Aopen(object, name, H5P_DEFAULT)};
    if (!attribute_id) return std::nullopt;
    const Id stored{H5Aget_type(attribute_id.get())};
    const Id space{H5Aget_space(attribute_id.get())};
    if (!stored || !space || H5Tis_variable_str(stored.get()) <= 0) return std::nullopt;
    if (H5Sget_simple_extent_npoints(space.get()) != 1) return std::nullopt;
    const Id type = text_type();
    char* text = nullptr;
    if (H5Aread(attribute_id.get(), type.get(), &text) < 0 || text == nullptr) return std::nullopt;
    std::string copy{text};
    H5free_memory(text);
    return copy;
}

std::optional<std::uint64_t> number_attribute(hid_t object, const char* name) {
    if (H5Aexists(object, name) <= 0) return std::nullopt;
    const Id attribute_id{H5Aopen(object, name, H5P_DEFAULT)};
    if (!attribute_id) return std::nullopt;
    const Id space{H5Aget_space(attribute_id.get())};
    if (!space || H5Sget_simple_extent_npoints(space.get()) != 1) return std::nullopt;
    std::uint64_t number = 0;
    if (H5Aread(attribute_id.get(), H5T_NATIVE_UINT64, &number) < 0) return std::nullopt;
    return number;
}

}  // namespace penstock::hdf5
