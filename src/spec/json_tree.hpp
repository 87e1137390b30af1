#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "spec/problems.hpp"

namespace penstock {

inline constexpr std::size_t max_file_bytes = 16U << 20U;
inline constexpr std::size_t max_depth = 64;
inline constexpr std::size_t max_values = 1'000'000;
inline constexpr std::size_t max_string_bytes = 65'536;

struct JsonMember;

/// A number with a fraction or an exponent, and how it was written.
struct Decimal {
    double value;
    std::string text;
};

/// A JSON value that knows its line. Objects keep the order of the file and have no key twice.
struct JsonValue {
    using List = std::vector<JsonValue>;
    using Object = std::vector<JsonMember>;
    std::variant<std::nullptr_t, bool, std::int64_t, Decimal, std::string, List, Object> value;
    int line = 1;  ///< Of its first character.

    /// For messages: `"two"`, `17`, `a list`.
    [[nodiscard]] std::string text() const;
    [[nodiscard]] const Object* object() const noexcept { return std::get_if<Object>(&value); }
    [[nodiscard]] const List* list() const noexcept { return std::get_if<List>(&value); }
};

struct JsonMember {
    std::string key;
    JsonValue value;
    int line;  ///< Of the key.
};

/// Appends one step to a JSON pointer (RFC 6901), safe to print.
[[nodiscard]] std::string pointer_to(std::string_view parent, std::string_view key);
[[nodiscard]] std::string pointer_to(std::string_view parent, std::size_t index);

/// Reads JSON text (RFC 8259, UTF-8 without byte order mark) within the limits above.
/// A key that stands twice is a problem but does not stop the reading. @return nothing if the text cannot be read.
[[nodiscard]] std::optional<JsonValue> parse_json(std::string_view text, FileProblems& problems);

}  // namespace penstock
