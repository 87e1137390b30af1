#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace penstock::report {

using Json = nlohmann::ordered_json;

// What stands under a key if it is of that kind, and else nothing: files may be of another version, or broken.

[[nodiscard]] std::string word(const Json& json, const char* key);
/// 0 for a negative one.
[[nodiscard]] std::uint64_t count(const Json& json, const char* key);
/// 0 for what is not finite, negative or more than 30 years of nanoseconds.
[[nodiscard]] double amount(const Json& json, const char* key);
/// Never null, so that it can be gone through.
[[nodiscard]] const Json& list(const Json& json, const char* key);
[[nodiscard]] const Json& object(const Json& json, const char* key);
/// Any value as text; of text itself, without the quotes.
[[nodiscard]] std::string text_of(const Json& value);

}  // namespace penstock::report
