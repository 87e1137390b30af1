#include "report/json_values.hpp"

#include <cmath>

namespace penstock::report {
namespace {

/// The value of that key; a null value if there is none.
[[nodiscard]] const Json& value_of(const Json& json, const char* key) {
    static const Json none;
    if (!json.is_object()) return none;
    const auto at = json.find(key);
    return at == json.end() ? none : *at;
}

}  // namespace

std::string word(const Json& json, const char* key) {
    const Json& value = value_of(json, key);
    return value.is_string() ? value.get<std::string>() : std::string{};
}

std::uint64_t count(const Json& json, const char* key) {
    const Json& value = value_of(json, key);
    return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

double amount(const Json& json, const char* key) {
    constexpr double most = 1e18;
    const Json& value = value_of(json, key);
    const double number = value.is_number() ? value.get<double>() : 0;
    return std::isfinite(number) && number > 0 && number < most ? number : 0;
}

const Json& list(const Json& json, const char* key) {
    static const Json none = Json::array();
    const Json& value = value_of(json, key);
    return value.is_array() ? value : none;
}

const Json& object(const Json& json, const char* key) {
    static const Json none = Json::object();
    const Json& value = value_of(json, key);
    return value.is_object() ? value : none;
}

std::string text_of(const Json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace penstock::report
