#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

// What all ranks say, as one message: each one costs both ends, and who tells all ranks what all have said would send
// as many to each of them.

/// Adds a text behind its length.
void pack_text(std::string& message, std::string_view text);

[[nodiscard]] std::string pack_texts(const std::vector<std::string>& texts);

/// @return nothing if the message is not of that many texts.
[[nodiscard]] std::optional<std::vector<std::string>> unpack_texts(std::string_view message, std::size_t count);

}  // namespace penstock
