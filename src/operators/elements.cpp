#include "operators/elements.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/quote.hpp"
#include "memory/payload_body.hpp"
#include "operators/number_text.hpp"

namespace penstock {

RawDraft draft_of(Output& out, DType dtype, const Shape& shape) {
    switch (dtype) {
        case DType::bytes: return out.draft<std::byte>(shape);
        case DType::text: return out.draft<char>(shape);
        case DType::i8: return out.draft<std::int8_t>(shape);
        case DType::u8: return out.draft<std::uint8_t>(shape);
        case DType::i16: return out.draft<std::int16_t>(shape);
        case DType::u16: return out.draft<std::uint16_t>(shape);
        case DType::i32: return out.draft<std::int32_t>(shape);
        case DType::u32: return out.draft<std::uint32_t>(shape);
        case DType::i64: return out.draft<std::int64_t>(shape);
        case DType::u64: return out.draft<std::uint64_t>(shape);
        case DType::f32: return out.draft<float>(shape);
        case DType::f64: break;
    }
    return out.draft<double>(shape);
}

RawDraft copy_of(const Payload& in, Output& out) {
    const auto bytes = in.bytes();
    RawDraft copy = draft_of(out, in.dtype(), in.shape());
    if (!bytes.empty()) std::memcpy(copy.bytes().data(), bytes.data(), std::min(bytes.size(), copy.size_bytes()));
    copy.set_format(in.format());
    return copy;
}

bool carry_metadata(const Payload& in, RawDraft& draft) {
    const auto carried = in.metadata().encoded();
    if (carried.empty()) return true;
    MetaBytes& own = draft.body()->metadata;
    if (own.view().size() + carried.size() > max_metadata_bytes) return false;
    std::memcpy(own.grow(carried.size()), carried.data(), carried.size());
    return true;
}

void emit_like(const Payload& in, RawDraft draft, Output& out, MalformedRecords& malformed) {
    if (carry_metadata(in, draft)) {
        out.emit(std::move(draft));
    } else {
        malformed.add(in, "its metadata leaves no room for what is to be added");
    }
}

std::vector<double> numbers_param(const Params& params, std::string_view name) {
    std::vector<double> numbers;
    for (const auto& element : params.get<ParamValue::List>(name)) {
        std::optional<double> number;
        if (const auto* whole = std::get_if<std::int64_t>(&element.value)) number = static_cast<double>(*whole);
        if (const auto* real = std::get_if<double>(&element.value)) number = *real;
        if (const auto* text = std::get_if<std::string>(&element.value)) number = parse_number(*text);
        if (!number || !std::isfinite(*number)) {
            throw Error{Errc::invalid_input, "parameter " + in_quotes(name) +
                                                 " must be a list of finite numbers, not " + printable(element.text())};
        }
        numbers.push_back(*number);
    }
    return numbers;
}

}  // namespace penstock
