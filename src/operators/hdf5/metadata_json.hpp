#pragma once

#include <string>
#include <string_view>

#include <penstock/memory.hpp>

namespace penstock::hdf5 {

/// Metadata as a JSON object. What JSON has no form for is an object of one key: {"$bytes": "00ff"} for bytes and for
/// text that is not UTF-8, {"$number": "nan"} for numbers that are not finite. Broken metadata are cut where they
/// break.
[[nodiscard]] std::string metadata_json(const MetadataView& metadata);

/// Sets what `metadata_json` wrote. Other values of a foreign table (null, lists, objects) are set as their JSON text.
/// @throws Error{invalid_input} if it is no JSON object or does not fit into metadata.
void set_metadata(RawDraft& draft, std::string_view json);

}  // namespace penstock::hdf5
