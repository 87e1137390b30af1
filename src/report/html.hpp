#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace penstock::report {

/// Any bytes as text of a page, or of an attribute in quotes: what would be markup or a control character is written so
/// that it is seen, and bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string escaped(std::string_view text);

/// The beginning, with an ellipsis, of text that is longer than so many code points.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t longest);

/// Cells are text, and escaped here.
class HtmlTable {
public:
    /// A heading that begins with '>' is that of a column of numbers: right-aligned.
    explicit HtmlTable(const std::vector<std::string>& headings);

    void add(const std::vector<std::string>& cells, std::string_view row_class = "");
    [[nodiscard]] std::string text() const { return text_ + "</tbody></table>\n"; }

private:
    std::vector<bool> is_number_;
    std::string text_;
};

}  // namespace penstock::report
