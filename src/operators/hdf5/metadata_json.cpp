#include "operators/hdf5/metadata_json.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock::hdf5 {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view hex_digits = "0123456789abcdef";

std::string to_hex(std::span<const std::byte> bytes) {
    std::string hex;
    for (const std::byte byte : bytes) {
        hex += hex_digits[static_cast<std::size_t>(byte) >> 4U];
        hex += hex_digits[static_cast<std::size_t>(byte) & 15U];
    }
    return hex;
}

std::optional<std::vector<std::byte>> from_hex(std::string_view hex) {
    if (hex.size() % 2 != 0) return std::nullopt;
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i < hex.size(); i += 2) {
        const std::size_t high = hex_digits.find(hex[i]);
        const std::size_t low = hex_digits.find(hex[i + 1]);
        if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
        bytes.push_back(static_cast<std::byte>(high * 16 + low));
    }
    return bytes;
}

bool is_utf8(std::string_view text) {
    try {
        static_cast<void>(Json(std::string{text}).dump());
        return true;
    } catch (const Json::exception&) {
        return false;
    }
}

Json json_of(const MetaValue& value) {
    if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
    if (const auto* flag = std::get_if<bool>(&value)) return *flag;
    if (const auto* number = std::get_if<double>(&value)) {
        if (std::isfinite(*number)) return *number;
        return Json::object({{"$number", std::isnan(*number) ? "nan" : (*number > 0 ? "inf" : "-inf")}});
    }
    if (const auto* text = std::get_if<std::string_view>(&value)) {
        // No NUL: readers would take it for the end of the whole text.
        if (is_utf8(*text)) return std::string{*text};
        return Json::object({{"$bytes", to_hex(std::as_bytes(std::span{*text}))}});
    }
    return Json::object({{"$bytes", to_hex(std::get<std::span<const std::byte>>(value))}});
}

/// The keys in order: MetadataView finds the value of a key, not the keys.
std::vector<std::string_view> keys_of(std::span<const std::byte> encoded) {
    constexpr std::size_t head_bytes = 6;
    std::vector<std::string_view> keys;
    while (encoded.size() >= head_bytes) {
        const auto key_bytes = static_cast<std::size_t>(encoded[1]);
        std::uint32_t value_bytes = 0;
        std::memcpy(&value_bytes, encoded.data() + 2, sizeof value_bytes);
        const std::size_t entry = head_bytes + key_bytes + value_bytes;
        if (encoded.size() < entry) break;
        keys.emplace_back(reinterpret_cast<const char*>(encoded.data()) + head_bytes, key_bytes);
        encoded = encoded.subspan(entry);
    }
    return keys;
}

std::optional<double> special_number(std::string_view name) {
    if (name == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (name == "inf") return std::numeric_limits<double>::infinity();
    if (name == "-inf") return -std::numeric_limits<double>::infinity();
    return std::nullopt;
}

void set_value(RawDraft& draft, const std::string& key, const Json& value) {
    if (value.is_boolean()) return draft.set(key, MetaValue{value.get<bool>()});
    if (value.is_number_integer()) {
        const bool fits =
            !value.is_number_unsigned() ||
            value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        if (fits) return draft.set(key, MetaValue{value.get<std::int64_t>()});
    }
    if (value.is_number()) return draft.set(key, MetaValue{value.get<double>()});
    if (value.is_string()) return draft.set(key, MetaValue{std::string_view{value.get_ref<const std::string&>()}});
    if (value.is_object() && value.size() == 1 && value.front().is_string()) {
        const auto& text = value.front().get_ref<const std::string&>();
        if (value.contains("$bytes")) {
            if (const auto bytes = from_hex(text)) return draft.set(key, MetaValue{std::span<const std::byte>{*bytes}});
        }
        if (value.contains("$number")) {
            if (const auto number = special_number(text)) return draft.set(key, MetaValue{*number});
        }
    }
    const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
    draft.set(key, MetaValue{std::string_view{text}});
}

}  // namespace

std::string metadata_json(const MetadataView& metadata) {
    if (metadata.encoded().empty()) return "{}";
    auto json = Json::object();
    for (const std::string_view key : keys_of(metadata.encoded())) {
        const auto value = metadata.find(key);
        if (!value) break;
        json[is_utf8(key) ? std::string{key} : "$" + to_hex(std::as_bytes(std::span{key}))] = json_of(*value);
    }
    return json.dump();
}

void set_metadata(RawDraft& draft, std::string_view json) {
    const auto parsed = Json::parse(json, nullptr, false);
    if (!parsed.is_object())
        throw Error{Errc::invalid_input, "the metadata " + in_quotes(json) + " are no JSON object"};
    for (const auto& entry : parsed.items()) set_value(draft, entry.key(), entry.value());
}

}  // namespace penstock::hdf5
