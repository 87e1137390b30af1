#include <limits>
#include <string>

#include <penstock/memory.hpp>

#include "memory/payload_body.hpp"

namespace penstock {
namespace {

struct DTypeEntry {
    std::string_view name;
    std::size_t size_bytes;
};

constexpr std::array<DTypeEntry, dtype_count> dtypes{{{"bytes", 1},
                                                      {"text", 1},
                                                      {"i8", 1},
                                                      {"u8", 1},
                                                      {"i16", 2},
                                                      {"u16", 2},
                                                      {"i32", 4},
                                                      {"u32", 4},
                                                      {"i64", 8},
                                                      {"u64", 8},
                                                      {"f32", 4},
                                                      {"f64", 8}}};

}  // namespace

std::size_t size_of(DType dtype) noexcept {
    return dtypes[static_cast<std::size_t>(dtype)].size_bytes;
}

std::string_view name_of(DType dtype) noexcept {
    return dtypes[static_cast<std::size_t>(dtype)].name;
}

Shape::Shape(std::span<const std::uint64_t> extents) {
    if (extents.size() > max_dims) throw Error{Errc::invalid_input, "a shape has at most 8 dimensions"};
    std::uint64_t count = 1;
    for (const std::uint64_t extent : extents) {
        if (__builtin_mul_overflow(count, extent, &count) || count > std::uint64_t{1} << 63U) {
            throw Error{Errc::invalid_input, "a shape has at most 2^63 elements"};
        }
        extents_[dims_++] = extent;
    }
}

std::uint64_t Shape::count() const noexcept {
    if (dims_ == 0) return 0;
    std::uint64_t count = 1;
    for (const std::uint64_t extent : extents()) count *= extent;
    return count;
}

Payload::Payload(const Payload& other) noexcept : body_{other.body_} {
    if (body_ != nullptr) add_reference(body_);
}

Payload::~Payload() {
    if (body_ != nullptr) drop_reference(body_);
}

PayloadId Payload::id() const noexcept {
    return body_->id;
}

std::optional<std::uint64_t> Payload::user_id() const noexcept {
    if (!body_->has_user_id) return std::nullopt;
    return body_->user_id;
}

DType Payload::dtype() const noexcept {
    return body_->dtype;
}

Format Payload::format() const noexcept {
    return body_->format;
}

Shape Payload::shape() const noexcept {
    return body_->shape;
}

std::size_t Payload::size_bytes() const noexcept {
    return body_->size_bytes;
}

MetadataView Payload::metadata() const noexcept {
    return MetadataView{body_->metadata.view()};
}

std::uint64_t Payload::source_time_ns() const noexcept {
    return body_->source_time_ns;
}

std::uint16_t Payload::channel() const noexcept {
    return body_->channel;
}

std::span<const std::byte> Payload::bytes() const {
    if (body_->data == nullptr) body_->home->resolve(*body_);
    return {body_->data, body_->size_bytes};
}

std::string_view Payload::text() const {
    if (body_->dtype != DType::bytes) check_dtype(DType::text);
    const auto blob = bytes();
    return {reinterpret_cast<const char*>(blob.data()), blob.size()};
}

void Payload::check_dtype(DType asked) const {
    if (body_->dtype == asked) return;
    throw Error{Errc::invalid_input, "a payload of dtype '" + std::string{name_of(body_->dtype)} + "' was read as '" +
                                         std::string{name_of(asked)} +
                                         "'; connect operators whose payload types agree"};
}

RawDraft::~RawDraft() {
    if (body_ != nullptr) drop_reference(body_);
}

std::span<std::byte> RawDraft::bytes() noexcept {
    // A draft's memory is this process's own; only sealed payloads are read-only.
    return {const_cast<std::byte*>(body_->data), body_->size_bytes};
}

std::size_t RawDraft::size_bytes() const noexcept {
    return body_->size_bytes;
}

void RawDraft::shrink(std::size_t size_bytes) {
    const std::size_t element = size_of(body_->dtype);
    if (size_bytes > body_->size_bytes || size_bytes % element != 0) {
        throw Error{Errc::invalid_input, "a draft of " + std::to_string(body_->size_bytes) +
                                             " bytes cannot shrink to " + std::to_string(size_bytes) + " bytes of '" +
                                             std::string{name_of(body_->dtype)} + "'"};
    }
    body_->size_bytes = size_bytes;
    body_->shape = Shape{size_bytes / element};
}

void RawDraft::set_format(Format format) noexcept {
    body_->format = format;
}

void RawDraft::set_user_id(std::uint64_t id) noexcept {
    body_->user_id = id;
    body_->has_user_id = true;
}

void RawDraft::keep(const Payload& source) {
    if (!source) return;
    body_->kept.push_back(source.body());
    add_reference(source.body());
}

PayloadBody* BodyPool::take() {
    if (free_ == nullptr) refill();
    PayloadBody* body = free_;
    free_ = body->next;
    body->refs.store(1, std::memory_order_relaxed);
    body->next = nullptr;
    body->parent = nullptr;
    body->data = nullptr;
    body->user_id = 0;
    body->has_user_id = false;
    body->has_block = false;
    body->has_id = false;
    body->received = false;
    body->settled = false;
    body->fetching = false;
    body->has_copy = false;
    body->has_unpacked = false;
    body->has_checksum = false;
    body->codec = Codec::none;
    body->format = Format::none;
    body->metadata.clear();
    return body;
}

void BodyPool::refill() {
    constexpr std::size_t lot = 64;
    lots_.push_back(std::make_unique<PayloadBody[]>(lot));
    for (std::size_t i = lot; i-- > 0;) put_back(&lots_.back()[i]);
}

}  // namespace penstock
