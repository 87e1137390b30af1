#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/json_tree.hpp"
#include "spec/words.hpp"

namespace penstock {

/// What an integer may be, and what to write for want of a better value.
struct IntegerRange {
    std::int64_t minimum;
    std::int64_t maximum;
    std::int64_t advice;
};

/// The keys of one object of the file. Every reader adds the problem itself and returns nothing for a key that is
/// missing or wrong.
class JsonFields {
public:
    /// REQUIRES: `value` is an object and outlives this.
    JsonFields(FileProblems& problems, const JsonValue& value, std::string pointer)
        : problems_{problems}, value_{value}, pointer_{std::move(pointer)} {}

    [[nodiscard]] const JsonValue* find(std::string_view key) const noexcept;
    void refuse_unknown_keys(std::span<const std::string_view> known) const;
    /// Adds a problem of kind `unsupported` if the key is there.
    void refuse_unavailable(std::string_view key) const;
    /// Adds the problem that the key is missing, if it is. @param advice  JSON text of a legal value.
    bool require(std::string_view key, std::string_view advice) const;

    [[nodiscard]] std::optional<std::string> text(std::string_view key) const;
    [[nodiscard]] std::optional<std::string> name(std::string_view key, std::string_view advice) const;
    [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key, IntegerRange range) const;

    template <class Value>
    [[nodiscard]] std::optional<Value> word(std::string_view key, const Vocabulary<Value>& vocabulary) const {
        const JsonValue* found = find(key);
        if (found == nullptr) return std::nullopt;
        const auto* name = std::get_if<std::string>(&found->value);
        if (name != nullptr) {
            if (const auto value = vocabulary.find(*name)) return value;
        }
        refuse_word(key, *found, names_of(vocabulary), name != nullptr && vocabulary.is_later(*name));
        return std::nullopt;
    }

    /// Adds a problem at the key: at its value if it is there, else at the object.
    void refuse(std::string_view key, std::string_view text, Errc code = Errc::invalid_input) const;
    [[nodiscard]] std::string pointer(std::string_view key) const { return pointer_to(pointer_, key); }

private:
    void refuse_word(std::string_view key, const JsonValue& found, const std::vector<std::string_view>& names,
                     bool later) const;

    FileProblems& problems_;
    const JsonValue& value_;
    std::string pointer_;
};

/// The value as an integer: 2, "2" not, 2.0 yes (JSON knows no integers).
[[nodiscard]] std::optional<std::int64_t> as_integer(const JsonValue& value) noexcept;

/// `"x" is not available in version 0.1.0`.
[[nodiscard]] std::string unavailable(std::string_view what);

}  // namespace penstock
