#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "operators/csv_scan.hpp"

namespace penstock {

/// A row, or what stands in the place of one. A view, valid until its maker goes on.
class CsvRow {
public:
    /// Number of fields.
    [[nodiscard]] std::size_t size() const noexcept { return fields_; }
    /// A field as it stands in the file, quotes and all.
    [[nodiscard]] std::string_view raw(std::size_t index) const noexcept {
        const std::size_t begin = index == 0 ? begin_ : ends_[index - 1] + std::size_t{1};
        const std::size_t end = index + 1 == fields_ ? end_ : ends_[index];
        return {buffer_ + begin, end - begin};
    }
    /// What it means: without its quotes, doubled quotes as one. Uses `scratch` only if there were any of those.
    [[nodiscard]] std::string_view field(std::size_t index, std::string& scratch) const;
    /// All of it, without the line end.
    [[nodiscard]] std::string_view text() const noexcept { return {buffer_ + begin_, end_ - begin_}; }
    /// Why it cannot be used; empty if it is well-formed and has as many fields as it should.
    [[nodiscard]] const std::string& problem() const noexcept { return problem_; }

    /// For loops over many fields: field i ends at `ends()[i]` of the buffer, the last one at `end()`.
    [[nodiscard]] const char* buffer() const noexcept { return buffer_; }
    [[nodiscard]] const std::uint32_t* ends() const noexcept { return ends_; }
    [[nodiscard]] std::size_t begin() const noexcept { return begin_; }
    [[nodiscard]] std::size_t end() const noexcept { return end_; }

private:
    friend class CsvRows;
    const char* buffer_ = nullptr;
    const std::uint32_t* ends_ = nullptr;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t fields_ = 0;
    char quote_ = '"';
    std::string problem_;
};

/// Rows may have any number of fields.
inline constexpr std::size_t any_number_of_fields = ~std::size_t{0};

/// The rows of a text in memory, one after the other. Empty lines are no rows.
class CsvRows {
public:
    /// @param fields  How many a row must have; 0 for as many as the first one has, or any number.
    explicit CsvRows(CsvDialect dialect, std::size_t fields = 0) noexcept : scanner_{dialect}, fields_{fields} {
        row_.quote_ = dialect.quote;
        quote_ = dialect.quote;
    }

    /// Goes to the begin of a text, shorter than 4 GiB, that stays where it is, and of which the last row may be a
    /// part.
    void begin(std::string_view text, QuoteState state = {});
    /// The text is all there is: its last row needs no line end.
    void end_text();
    /// The text is whole: both of the above. @throws Error{invalid_input} for a text of 4 GiB and more.
    void begin_whole(std::string_view text);

    /// Goes to the next row. @return false if there is none that is whole.
    [[nodiscard]] bool next();
    [[nodiscard]] const CsvRow& row() const noexcept { return row_; }
    /// Lines of the text before the row.
    [[nodiscard]] std::size_t lines_before_row() const noexcept { return lines_before(row_index_, row_.begin_); }

    /// Where the next row begins in the text.
    [[nodiscard]] std::size_t next_begin() const noexcept { return next_begin_; }
    [[nodiscard]] std::size_t lines_before_next() const noexcept { return lines_before(next_row_, next_begin_); }
    /// Lines that end in the text.
    [[nodiscard]] std::size_t lines() const noexcept { return marks_.row_ends.size() + marks_.embedded.size(); }
    /// Where the text's end stands.
    [[nodiscard]] const QuoteState& state() const noexcept { return state_; }
    [[nodiscard]] const CsvScanner& scanner() const noexcept { return scanner_; }
    [[nodiscard]] std::size_t fields() const noexcept { return fields_; }

    /// Goes back before the current row.
    void step_back() noexcept;
    /// The text began in the middle of a row: goes to where the next one begins. @return false if that is beyond it.
    [[nodiscard]] bool drop_rest_of_row();
    /// Makes a row of the begin of one that is too long.
    void take_start(std::size_t size_bytes, std::string problem);

private:
    [[nodiscard]] bool take();
    [[nodiscard]] std::size_t index_after(std::size_t row_end) const noexcept;
    void check_quotes();
    [[nodiscard]] std::size_t lines_before(std::size_t row_index, std::size_t begin) const noexcept;

    CsvScanner scanner_;
    std::size_t fields_;
    char quote_;
    CsvRow row_;
    const char* text_ = nullptr;
    std::size_t size_ = 0;
    CsvMarks marks_;
    QuoteState state_;
    std::size_t row_index_ = 0;    // of row_ in marks_.row_ends
    std::size_t next_row_ = 0;     // the one after it
    std::size_t next_begin_ = 0;   // where that begins
    std::size_t next_end_ = 0;     // where its first field ends, as an index into marks_.ends
    std::size_t next_stray_ = 0;   // the first quote that may be in it
    bool ends_in_quotes_ = false;  // the last row, at the end of the whole text
};

}  // namespace penstock
