#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::test {

/// A row as the plainest possible parser sees it.
struct NaiveRow {
    std::uint64_t byte = 0;
    std::uint64_t line = 1;
    std::string text;
    std::vector<std::string> fields;
    bool has_bad_quotes = false;
};

/// Reads CSV field by field, as the grammar has it: what the vectorised reader is held against.
class NaiveCsv {
public:
    NaiveCsv(std::string_view text, char delimiter, char quote) : text_{text}, delimiter_{delimiter}, quote_{quote} {
        if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
    }

    [[nodiscard]] std::vector<NaiveRow> rows() {
        std::vector<NaiveRow> rows;
        while (at_ < text_.size()) {
            NaiveRow row = read_row();
            if (!row.text.empty()) rows.push_back(std::move(row));
        }
        return rows;
    }

private:
    [[nodiscard]] bool at_end_of_field() const {
        return at_ == text_.size() || text_[at_] == delimiter_ || text_[at_] == '\n';
    }
    [[nodiscard]] bool at_quote() const { return quote_ != '\0' && at_ < text_.size() && text_[at_] == quote_; }

    NaiveRow read_row() {
        NaiveRow row;
        row.byte = at_;
        row.line = line_;
        for (bool more = true; more;) {
            read_field(row);
            more = at_ < text_.size() && text_[at_] == delimiter_;
            if (more) ++at_;
        }
        row.text = text_.substr(row.byte, at_ - row.byte);
        if (!row.text.empty() && row.text.back() == '\r') row.text.pop_back();
        if (at_ < text_.size()) ++at_;
        ++line_;
        return row;
    }

    void read_field(NaiveRow& row) {
        std::string value;
        const bool is_quoted = at_quote();
        if (is_quoted) read_quoted(row, value);
        std::string rest;
        for (; !at_end_of_field(); ++at_) {
            if (at_quote()) row.has_bad_quotes = true;
            rest += text_[at_];
        }
        const bool ends_row = at_ == text_.size() || text_[at_] == '\n';
        if (ends_row && !rest.empty() && rest.back() == '\r') rest.pop_back();
        if (is_quoted && !rest.empty()) row.has_bad_quotes = true;
        row.fields.push_back(value + rest);
    }

    void read_quoted(NaiveRow& row, std::string& value) {
        for (++at_; at_ < text_.size(); ++at_) {
            if (at_quote()) {
                ++at_;
                if (!at_quote()) return;
            }
            if (text_[at_] == '\n') ++line_;
            value += text_[at_];
        }
        row.has_bad_quotes = true;
    }

    std::string_view text_;
    char delimiter_;
    char quote_;
    std::size_t at_ = 0;
    std::uint64_t line_ = 1;
};

}  // namespace penstock::test
