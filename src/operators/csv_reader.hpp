#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operators/csv_rows.hpp"
#include "operators/input_file.hpp"

namespace penstock {

/// Which rows of a file to read, and how.
struct CsvOptions {
    CsvDialect dialect = {};
    bool header = true;                ///< The first row has the names of the columns.
    std::string_view param = "input";  ///< The operator's name for the path, for messages.
    std::size_t part = 0;              ///< Of `parts` that share the rows of one file: each row is in exactly one part.
    std::size_t parts = 1;             ///< 1 for what is no regular file.
    std::size_t max_row_bytes = std::size_t{16} << 20U;  ///< A longer row is bad. A quote that is never closed is one.
    std::size_t block_bytes = std::size_t{256} << 10U;   ///< To read at once.
};

/// Reads CSV as RFC 4180 has it: quoted fields with doubled quotes and line ends inside, line ends LF or CRLF, the last
/// one optional. A byte order mark is skipped, and so are empty lines.
///
/// The file is read in blocks and not mapped: a file that shrinks under a mapping kills the process. It is read up to
/// the size it had when it was opened.
///
/// Parts are byte ranges; a row belongs to the range in which it begins. A range may begin inside a quoted field, so a
/// part first scans the file before its range for quotes, at several times the speed of reading rows. Without quotes in
/// the dialect it need not.
class CsvReader {
public:
    /// Opens the file, reads the first row and goes to where the part begins.
    /// @throws Error{invalid_input} if it cannot be read, or is empty where a header is expected.
    explicit CsvReader(std::string path, const CsvOptions& options = {});

    /// Names of the columns; empty without a header.
    [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
    /// The column of that name. @throws Error{invalid_input} if there is none or more than one; it lists the names.
    [[nodiscard]] std::size_t column(std::string_view name) const;
    /// How many fields a row must have: as many as the first one. 0 for an empty file.
    [[nodiscard]] std::size_t fields() const noexcept { return rows_.fields(); }

    /// Goes to the next row, good or bad. @return false at the end of the part.
    /// @throws Error{invalid_input} if the file cannot be read, or has become shorter.
    [[nodiscard]] bool next();
    [[nodiscard]] const CsvRow& row() const noexcept { return rows_.row(); }
    /// Where the row begins in the file, from 0.
    [[nodiscard]] std::uint64_t byte() const noexcept { return base_ + rows_.row().begin(); }
    /// In which line it begins, from 1. Cheap after the first time.
    [[nodiscard]] std::uint64_t line();

    [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }
    /// The file's size when it was opened; nothing if it is no regular file.
    [[nodiscard]] std::optional<std::uint64_t> size_bytes() const noexcept { return file_.size_bytes(); }
    /// Throws if parts of the file may have been missed, because it grew while it was read in parts.
    /// @return true if it grew and was read in one part, up to its old end.
    bool check_growth() const { return file_.check_growth(options_.parts); }
    [[noreturn]] void fail_for_growth() const { file_.fail_for_growth(); }

private:
    void skip_byte_order_mark();
    void read_first_row();
    void go_to_part();
    void refill();
    void make_room(std::size_t keep_from);
    [[nodiscard]] std::size_t read_more();

    InputFile file_;
    CsvOptions options_;
    CsvRows rows_;
    std::vector<std::string> names_;

    std::unique_ptr<char[]> memory_;
    char* buffer_ = nullptr;  // inside the memory: vector code may read a few bytes before and after
    std::size_t capacity_ = 0;
    std::size_t filled_ = 0;
    std::uint64_t base_ = 0;       // offset in the file of the buffer's begin
    std::uint64_t begins_before_;  // rows that begin there or later are another part's
    bool at_end_ = false;

    QuoteState state_;                           // where the buffer begins, if in the middle of a row
    bool dropping_ = false;                      // up to the next line end outside quotes
    std::optional<std::uint64_t> lines_before_;  // line ends in the file before the buffer; counted when first asked
};

}  // namespace penstock
