#include <bit>
#include <cstring>
#include <limits>
#include <string>

#include <penstock/memory.hpp>

#include "memory/metadata_entries.hpp"
#include "memory/payload_body.hpp"

namespace penstock {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire format is little-endian");

enum class MetaKind : std::uint8_t { integer = 0, number = 1, boolean = 2, string = 3, bytes = 4 };

constexpr std::size_t entry_head_bytes = 6;  // kind, key length, value length

struct Entry {
    MetaKind kind;
    std::string_view key;
    std::span<const std::byte> value;
};

/// Takes one entry off the front of `rest`. Nothing at the end or where the encoding breaks.
[[nodiscard]] std::optional<Entry> next_entry(std::span<const std::byte>& rest) noexcept {
    if (rest.size() < entry_head_bytes) return std::nullopt;
    const auto kind = static_cast<std::uint8_t>(rest[0]);
    const auto key_bytes = static_cast<std::size_t>(rest[1]);
    std::uint32_t value_bytes = 0;
    std::memcpy(&value_bytes, rest.data() + 2, sizeof value_bytes);
    if (kind > 4 || rest.size() - entry_head_bytes < key_bytes + std::size_t{value_bytes}) return std::nullopt;
    if (kind <= 1 && value_bytes != 8) return std::nullopt;
    if (kind == 2 && value_bytes != 1) return std::nullopt;
    const auto* key = reinterpret_cast<const char*>(rest.data() + entry_head_bytes);
    const Entry entry{
        static_cast<MetaKind>(kind), {key, key_bytes}, rest.subspan(entry_head_bytes + key_bytes, value_bytes)};
    rest = rest.subspan(entry_head_bytes + key_bytes + value_bytes);
    return entry;
}

template <class T>
[[nodiscard]] T read(std::span<const std::byte> bytes) noexcept {
    T value{};
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

[[nodiscard]] MetaValue value_of(const Entry& entry) noexcept {
    switch (entry.kind) {
        case MetaKind::integer: return read<std::int64_t>(entry.value);
        case MetaKind::number: return read<double>(entry.value);
        case MetaKind::boolean: return entry.value[0] != std::byte{0};
        case MetaKind::string:
            return std::string_view{reinterpret_cast<const char*>(entry.value.data()), entry.value.size()};
        case MetaKind::bytes: break;
    }
    return entry.value;
}

}  // namespace

std::optional<MetadataEntry> next_metadata_entry(std::span<const std::byte>& rest) noexcept {
    const auto entry = next_entry(rest);
    if (!entry) return std::nullopt;
    return MetadataEntry{entry->key, value_of(*entry)};
}

std::optional<MetaValue> MetadataView::find(std::string_view key) const noexcept {
    auto rest = encoded_;
    while (const auto entry = next_entry(rest)) {
        if (entry->key == key) return value_of(*entry);
    }
    return std::nullopt;
}

std::optional<std::int64_t> MetadataView::integer(std::string_view key) const noexcept {
    const auto value = find(key);
    if (!value || !std::holds_alternative<std::int64_t>(*value)) return std::nullopt;
    return std::get<std::int64_t>(*value);
}

std::optional<double> MetadataView::number(std::string_view key) const noexcept {
    const auto value = find(key);
    if (!value) return std::nullopt;
    if (const auto* whole = std::get_if<std::int64_t>(&*value)) return static_cast<double>(*whole);
    if (const auto* number = std::get_if<double>(&*value)) return *number;
    return std::nullopt;
}

std::optional<std::string_view> MetadataView::string(std::string_view key) const noexcept {
    const auto value = find(key);
    if (!value || !std::holds_alternative<std::string_view>(*value)) return std::nullopt;
    return std::get<std::string_view>(*value);
}

bool MetadataView::well_formed() const noexcept {
    auto rest = encoded_;
    while (next_entry(rest)) {
    }
    return rest.empty();
}

std::byte* MetaBytes::grow(std::size_t bytes) {
    const std::size_t total = size_ + bytes;
    if (large_.empty() && total > small_.size()) {
        large_.resize(total);
        std::memcpy(large_.data(), small_.data(), size_);
    } else if (!large_.empty() && total > large_.size()) {
        large_.resize(total);
    }
    std::byte* room = (large_.empty() ? small_.data() : large_.data()) + size_;
    size_ = static_cast<std::uint32_t>(total);
    return room;
}

void RawDraft::set(std::string_view key, MetaValue value) {
    std::span<const std::byte> bytes;
    std::byte flag{};
    if (const auto* whole = std::get_if<std::int64_t>(&value)) bytes = std::as_bytes(std::span{whole, 1});
    if (const auto* number = std::get_if<double>(&value)) bytes = std::as_bytes(std::span{number, 1});
    if (const auto* boolean = std::get_if<bool>(&value)) {
        flag = static_cast<std::byte>(*boolean);
        bytes = {&flag, 1};
    }
    if (const auto* text = std::get_if<std::string_view>(&value)) bytes = std::as_bytes(std::span{*text});
    if (const auto* raw = std::get_if<std::span<const std::byte>>(&value)) bytes = *raw;

    const std::size_t entry_bytes = entry_head_bytes + key.size() + bytes.size();
    if (key.empty() || key.size() > 255) throw Error{Errc::invalid_input, "a metadata key has 1 to 255 bytes"};
    if (body_->metadata.view().size() + entry_bytes > max_metadata_bytes) {
        throw Error{Errc::invalid_input, "the metadata of one payload has at most 65535 bytes; put '" +
                                             std::string{key} + "' into the blob"};
    }
    std::byte* out = body_->metadata.grow(entry_bytes);
    const auto value_bytes = static_cast<std::uint32_t>(bytes.size());
    out[0] = static_cast<std::byte>(value.index());
    out[1] = static_cast<std::byte>(key.size());
    std::memcpy(out + 2, &value_bytes, sizeof value_bytes);
    std::memcpy(out + entry_head_bytes, key.data(), key.size());
    if (!bytes.empty()) std::memcpy(out + entry_head_bytes + key.size(), bytes.data(), bytes.size());
}

}  // namespace penstock
