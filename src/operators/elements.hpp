#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include <penstock/operator.hpp>

#include "operators/malformed.hpp"

namespace penstock {

/// The rest of `with_numbers`. @return whether the payload was used.
template <Wire T, Wire... Others, class Use>
bool with_elements_of(const Payload& in, Use& use) {
    if (in.dtype() == dtype_of<T>()) {
        use(in.view<T>());
        return true;
    }
    if constexpr (sizeof...(Others) > 0) {
        return with_elements_of<Others...>(in, use);
    } else {
        return false;
    }
}

/// Calls `use(std::span<const T>)` with the elements of a payload of numbers; counts any other as malformed.
template <class Use>
void with_numbers(const Payload& in, MalformedRecords& malformed, Use&& use) {
    if (in.shape().count() * size_of(in.dtype()) != in.size_bytes()) {
        malformed.add(in, "its shape and its size disagree");
    } else if (!with_elements_of<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t, std::uint32_t,
                                 std::int64_t, std::uint64_t, float, double>(in, use)) {
        malformed.add(in, wrong_dtype(in, "a type of numbers"));
    }
}

/// A draft of a dtype that is known at run time only.
[[nodiscard]] RawDraft draft_of(Output& out, DType dtype, const Shape& shape);

/// A draft with the bytes and the format of a payload.
[[nodiscard]] RawDraft copy_of(const Payload& in, Output& out);

/// Appends the metadata of `in` to that of the draft, whose own values are found first. What `pattern` says of bytes
/// that it wrote stays behind: the draft has others.
/// @return false if there is no room for them.
[[nodiscard]] bool carry_metadata(const Payload& in, RawDraft& draft);

/// Emits what was made of `in` with the metadata of both; counts `in` as malformed if there is no room for them.
void emit_like(const Payload& in, RawDraft draft, Output& out, MalformedRecords& malformed);

/// A parameter of kind list whose elements are numbers.
/// @throws Error{invalid_input} naming the parameter for any other element.
[[nodiscard]] std::vector<double> numbers_param(const Params& params, std::string_view name);

}  // namespace penstock
