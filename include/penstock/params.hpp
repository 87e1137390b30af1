#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace penstock {

/// One parameter of an operator: a JSON value without objects.
struct ParamValue {
    using List = std::vector<ParamValue>;
    std::variant<bool, std::int64_t, double, std::string, List> value;

    /// The kind in words: "boolean", "integer", "number", "string" or "list".
    [[nodiscard]] std::string_view kind() const noexcept;
    /// The value as it would stand in a pipeline file.
    [[nodiscard]] std::string text() const;

    friend bool operator==(const ParamValue&, const ParamValue&) = default;
};

template <class T>
concept ParamType = std::is_same_v<T, bool> || std::is_same_v<T, std::int64_t> || std::is_same_v<T, double> ||
    std::is_same_v<T, std::string> || std::is_same_v<T, ParamValue::List>;

/// The parameters of one operator, by name. A value; iterates in name order.
class Params {
public:
    using Map = std::map<std::string, ParamValue, std::less<>>;

    void set(std::string name, ParamValue value) { values_.insert_or_assign(std::move(name), std::move(value)); }
    /// Does nothing if it is not there.
    void remove(std::string_view name) {
        if (const auto found = values_.find(name); found != values_.end()) values_.erase(found);
    }
    [[nodiscard]] bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
    [[nodiscard]] const ParamValue* find(std::string_view name) const;

    /// An integer is accepted where a number is asked for.
    /// @throws Error{invalid_input} when it is missing or of another kind.
    template <ParamType T>
    [[nodiscard]] T get(std::string_view name) const;

    /// @throws Error{invalid_input} when it is there but of another kind.
    template <ParamType T>
    [[nodiscard]] T get_or(std::string_view name, T fallback) const {
        return has(name) ? get<T>(name) : fallback;
    }

    [[nodiscard]] Map::const_iterator begin() const noexcept { return values_.begin(); }
    [[nodiscard]] Map::const_iterator end() const noexcept { return values_.end(); }
    [[nodiscard]] bool empty() const noexcept { return values_.empty(); }

    friend bool operator==(const Params&, const Params&) = default;

private:
    Map values_;
};

extern template bool Params::get<bool>(std::string_view) const;
extern template std::int64_t Params::get<std::int64_t>(std::string_view) const;
extern template double Params::get<double>(std::string_view) const;
extern template std::string Params::get<std::string>(std::string_view) const;
extern template ParamValue::List Params::get<ParamValue::List>(std::string_view) const;

}  // namespace penstock
