#pragma once

#include <string>
#include <string_view>

namespace penstock {

/// Adds a JSON string. What is no UTF-8 becomes U+FFFD, so that the result always is. @return false if there was any.
bool append_json_string(std::string& out, std::string_view text);

/// Adds a JSON number, the shortest that reads back as the same one. @return false for what is not finite: then "null".
bool append_json_number(std::string& out, double value);
bool append_json_number(std::string& out, float value);

/// Whether the text is a number in the grammar of JSON.
[[nodiscard]] bool is_json_number(std::string_view text) noexcept;

}  // namespace penstock
