#include <array>
#include <charconv>

#include <penstock/error.hpp>
#include <penstock/params.hpp>

#include "base/quote.hpp"

namespace penstock {
namespace {

void append_json_string(std::string& out, std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += '"';
    for (const char letter : text) {
        const auto code = static_cast<unsigned char>(letter);
        if (letter == '"' || letter == '\\') {
            out.append(1, '\\').append(1, letter);
        } else if (code < 0x20) {
            out.append("\\u00").append(1, digits[code >> 4U]).append(1, digits[code & 15U]);
        } else {
            out += letter;
        }
    }
    out += '"';
}

template <class Number>
std::string shortest(Number number) {
    std::array<char, 32> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number).ptr;
    return {buffer.data(), end};
}

struct Text {
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(std::int64_t number) const { return shortest(number); }
    std::string operator()(double number) const {
        auto text = shortest(number);
        // Without a mark it would read as an integer.
        if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
        return text;
    }
    std::string operator()(const std::string& string) const {
        std::string text;
        append_json_string(text, string);
        return text;
    }
    std::string operator()(const ParamValue::List& list) const {
        std::string text = "[";
        for (const auto& element : list) text.append(text.size() > 1 ? ", " : "").append(element.text());
        return text + "]";
    }
};

// In the order of ParamValue's alternatives.
constexpr std::array<std::string_view, 5> kinds{"boolean", "integer", "number", "string", "list"};

/// JSON text needs no more escaping, but a hostile file can make it long.
std::string shortened(std::string text) {
    constexpr std::size_t limit = 60;
    if (text.size() > limit) text.replace(limit, std::string::npos, "...");
    return text;
}

template <class T>
std::string_view kind_of() {
    return ParamValue{T{}}.kind();
}

}  // namespace

std::string_view ParamValue::kind() const noexcept {
    return kinds[value.index()];
}

std::string ParamValue::text() const {
    return std::visit(Text{}, value);
}

const ParamValue* Params::find(std::string_view name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second;
}

template <ParamType T>
T Params::get(std::string_view name) const {
    const ParamValue* param = find(name);
    if (param == nullptr) throw Error{Errc::invalid_input, "parameter " + in_quotes(name) + " is missing"};
    if (const auto* value = std::get_if<T>(&param->value)) return *value;
    if constexpr (std::is_same_v<T, double>) {
        if (const auto* integer = std::get_if<std::int64_t>(&param->value)) return static_cast<double>(*integer);
    }
    throw Error{Errc::invalid_input, "parameter " + in_quotes(name) + " must be of kind " + std::string{kind_of<T>()} +
                                         ", not the " + std::string{param->kind()} + " " + shortened(param->text())};
}

template bool Params::get<bool>(std::string_view) const;
template std::int64_t Params::get<std::int64_t>(std::string_view) const;
template double Params::get<double>(std::string_view) const;
template std::string Params::get<std::string>(std::string_view) const;
template ParamValue::List Params::get<ParamValue::List>(std::string_view) const;

}  // namespace penstock
