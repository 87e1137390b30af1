#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/memory.hpp>

#include "operators/hdf5/handles.hpp"

namespace penstock::hdf5 {

/// The library's own type for elements of that kind; it is not to be released. `bytes` and `text` are u8.
[[nodiscard]] hid_t native_type(DType dtype);

/// UTF-8 text of any length.
[[nodiscard]] Id text_type();

/// The dtype whose elements a stored type has; nothing for those that no dtype stands for.
[[nodiscard]] std::optional<DType> dtype_of_stored(hid_t type);

/// What a stored type is called in messages: "a compound type".
[[nodiscard]] std::string describe_type(hid_t type);

/// "f64 [3, 4]"
[[nodiscard]] std::string describe(DType dtype, const Shape& shape);

// Attributes of an object.
void set_attribute(hid_t object, const char* name, const std::string& text);
void set_attribute(hid_t object, const char* name, const std::vector<std::string>& texts);
void set_attribute(hid_t object, const char* name, std::uint64_t number);
/// A short text of fixed length, which stands in the header itself.
void set_word(hid_t object, const char* name, std::string_view word);
/// What `set_word` has set; nothing if there is no text of fixed length.
[[nodiscard]] std::optional<std::string> word_attribute(hid_t object, const char* name);
/// The text of an attribute; nothing if there is none of that name that is a text.
[[nodiscard]] std::optional<std::string> text_attribute(hid_t object, const char* name);
[[nodiscard]] std::optional<std::uint64_t> number_attribute(hid_t object, const char* name);

}  // namespace penstock::hdf5
