#include "operators/gather.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "operators/elements.hpp"

namespace penstock {
namespace {

RawDraft join_texts(std::span<const Payload> payloads, std::string_view separator, Output& out) {
    std::size_t size = separator.size() * (payloads.size() - 1);
    for (const auto& payload : payloads) size += payload.size_bytes();
    auto draft = out.draft<char>(size);
    char* at = draft.data();
    for (const auto& payload : payloads) {
        draft.keep(payload);
        if (&payload != &payloads.front()) at = std::copy(separator.begin(), separator.end(), at);
        const std::string_view text = payload.text();
        at = std::copy(text.begin(), text.end(), at);
    }
    draft.set_format(payloads.front().format());
    return draft;
}

RawDraft join_bytes(std::span<const Payload> payloads, const Shape& shape, Output& out) {
    RawDraft draft = draft_of(out, payloads.front().dtype(), shape);
    const auto room = draft.bytes();
    std::size_t at = 0;
    for (const auto& payload : payloads) {
        draft.keep(payload);
        const auto bytes = payload.bytes();
        if (bytes.empty() || at + bytes.size() > room.size()) continue;
        std::memcpy(room.data() + at, bytes.data(), bytes.size());
        at += bytes.size();
    }
    draft.set_format(payloads.front().format());
    return draft;
}

Shape shape_of(std::uint64_t first, std::span<const std::uint64_t> others) {
    std::array<std::uint64_t, Shape::max_dims> extents{first};
    std::ranges::copy(others, extents.begin() + 1);
    return Shape{std::span<const std::uint64_t>{extents.data(), others.size() + 1}};
}

}  // namespace

std::string why_not_concatenated(const Payload& first, const Payload& other) {
    if (other.dtype() == first.dtype()) return {};
    return fmt::format("its dtype is {}, that of the payloads it belongs to is {}", name_of(other.dtype()),
                       name_of(first.dtype()));
}

std::string why_not_stacked(const Payload& first, const Payload& other) {
    if (auto reason = why_not_concatenated(first, other); !reason.empty()) return reason;
    if (first.dtype() == DType::text) return {};
    const Shape shape = other.shape();
    if (shape.dims() == Shape::max_dims) return "it has 8 dimensions, which leaves none to stack along";
    if (shape == first.shape() && other.size_bytes() == first.size_bytes()) return {};
    return fmt::format("its shape is [{}], that of the payloads it belongs to is [{}]",
                       fmt::join(shape.extents(), " x "), fmt::join(first.shape().extents(), " x "));
}

RawDraft stack(std::span<const Payload> payloads, std::string_view separator, Output& out) {
    if (payloads.front().dtype() == DType::text) return join_texts(payloads, separator, out);
    return join_bytes(payloads, shape_of(payloads.size(), payloads.front().shape().extents()), out);
}

RawDraft concatenate(std::span<const Payload> payloads, std::string_view separator, Output& out) {
    if (payloads.front().dtype() == DType::text) return join_texts(payloads, separator, out);
    const auto rest = [](const Payload& payload) {
        const Shape shape = payload.shape();
        std::vector<std::uint64_t> extents{shape.extents().begin(), shape.extents().end()};
        if (!extents.empty()) extents.erase(extents.begin());
        return extents;
    };
    const auto others = rest(payloads.front());
    bool agree = true;
    std::uint64_t rows = 0;
    std::uint64_t elements = 0;
    for (const auto& payload : payloads) {
        agree = agree && payload.shape().dims() > 0 && rest(payload) == others;
        rows += payload.shape().dims() > 0 ? payload.shape()[0] : 0;
        elements += payload.size_bytes() / size_of(payload.dtype());
    }
    return join_bytes(payloads, agree ? shape_of(rows, others) : Shape{elements}, out);
}

}  // namespace penstock
