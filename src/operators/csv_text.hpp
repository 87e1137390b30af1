#pragma once

#include <string>
#include <string_view>

namespace penstock {

/// Adds a field as RFC 4180 has it: in quotes if it has a comma, a quote or a line end, which come in quotes only.
inline void append_csv_field(std::string& out, std::string_view field) {
    if (field.find_first_of(",\"\r\n") == std::string_view::npos) {
        out.append(field);
        return;
    }
    out += '"';
    for (const char letter : field) {
        if (letter == '"') out += '"';
        out += letter;
    }
    out += '"';
}

}  // namespace penstock
