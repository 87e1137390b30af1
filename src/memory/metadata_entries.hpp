#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include <penstock/memory.hpp>

namespace penstock {

struct MetadataEntry {
    std::string_view key;
    MetaValue value;
};

/// Takes one entry off the front of encoded metadata. Nothing at the end, or where the encoding breaks.
[[nodiscard]] std::optional<MetadataEntry> next_metadata_entry(std::span<const std::byte>& rest) noexcept;

}  // namespace penstock
