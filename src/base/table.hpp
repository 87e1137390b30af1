#pragma once

#include <string>
#include <utility>
#include <vector>

namespace penstock {

/// Rows of text in columns, for a terminal.
class Table {
public:
    explicit Table(std::vector<std::string> headers) { add(std::move(headers)); }

    /// A row may be shorter than the headers.
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    /// Columns two spaces apart, no spaces at the ends of lines, every line ended.
    [[nodiscard]] std::string text() const;

private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace penstock
