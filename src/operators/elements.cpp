#include "operators/elements.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "base/quote.hpp"
#include "memory/metadata_entries.hpp"
#include "memory/payload_body.hpp"
#include "operators/number_text.hpp"
#include "operators/pattern_fill.hpp"

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
    if (const auto start = in.metadata().integer(pattern_key)) copy.set(pattern_key, *start);
    return copy;
}

namespace {

[[nodiscard]] bool append(std::span<const std::byte> encoded, RawDraft& draft) {
    if (encoded.empty()) return true;
    MetaBytes& own = draft.body()->metadata;
    if (own.view().size() + encoded.size() > max_metadata_bytes) return false;
    std::memcpy(own.grow(encoded.size()), encoded.data(), encoded.size());
    return true;
}

}  // namespace

bool carry_metadata(const Payload& in, RawDraft& draft) {
    auto rest = in.metadata().encoded();
    // Only `pattern` itself has such an entry; all others are carried at once.
    if (!in.metadata().find(pattern_key)) return append(rest, draft);
    for (auto before = rest; const auto entry = next_metadata_entry(rest); before = rest) {
        if (entry->key != pattern_key && !append(before.first(before.size() - rest.size()), draft)) return false;
    }
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
