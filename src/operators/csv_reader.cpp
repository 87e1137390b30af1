#include "operators/csv_reader.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock {
namespace {

constexpr std::size_t margin = 64;  // that vector code may read beyond either end of the text

constexpr std::string_view utf8_mark = "\xEF\xBB\xBF";
constexpr std::string_view utf16_marks[] = {"\xFF\xFE", "\xFE\xFF"};

/// Where a part of the file begins.
std::uint64_t begin_of(std::size_t part, std::size_t parts, std::uint64_t size_bytes) noexcept {
    return size_bytes / parts * part + size_bytes % parts * part / parts;
}

std::size_t count_below(const CsvPositions& positions, std::size_t limit) noexcept {
    const auto* const first = positions.data();
    return static_cast<std::size_t>(std::lower_bound(first, first + positions.size(), limit) - first);
}

}  // namespace

std::string_view CsvRow::field(std::size_t index, std::string& scratch) const {
    std::string_view text = raw(index);
    if (quote_ == '\0' || text.size() < 2 || text.front() != quote_ || text.back() != quote_) return text;
    text = text.substr(1, text.size() - 2);
    std::size_t quote = text.find(quote_);
    if (quote == std::string_view::npos) return text;
    scratch.clear();
    while (quote != std::string_view::npos) {
        scratch.append(text.substr(0, quote + 1));
        text.remove_prefix(std::min(quote + 2, text.size()));
        quote = text.find(quote_);
    }
    scratch.append(text);
    return scratch;
}

CsvReader::CsvReader(std::string path, const CsvOptions& options)
    : file_{std::move(path)},
      options_{options},
      scanner_{options.dialect},
      capacity_{std::max<std::size_t>(options.block_bytes, margin)},
      begins_before_{std::numeric_limits<std::uint64_t>::max()},
      lines_before_{0} {
    if (options_.parts > 1 && !file_.size_bytes()) {
        throw Error{Errc::invalid_input, "the input " + path_in_quotes(file_.path()) +
                                             " is no regular file, so it cannot be shared; set \"instances\" to 1"};
    }
    memory_ = std::make_unique<char[]>(capacity_ + 2 * margin);
    buffer_ = memory_.get() + margin;
    row_.quote_ = options_.dialect.quote;
    skip_byte_order_mark();
    read_first_row();
    if (options_.parts > 1) go_to_part();
}

void CsvReader::skip_byte_order_mark() {
    while (filled_ < utf8_mark.size()) {
        const std::size_t count = read_more();
        if (count == 0) break;
        filled_ += count;
    }
    const std::string_view text{buffer_, filled_};
    for (const std::string_view mark : utf16_marks) {
        if (!text.starts_with(mark)) continue;
        throw Error{Errc::invalid_input, "the input file " + path_in_quotes(file_.path()) +
                                             " is UTF-16; convert it to UTF-8, for example with iconv"};
    }
    if (text.starts_with(utf8_mark)) {
        base_ = utf8_mark.size();
        filled_ -= utf8_mark.size();
        std::memmove(buffer_, buffer_ + utf8_mark.size(), filled_);
    }
    scanner_.scan({buffer_, filled_}, state_, marks_);
}

void CsvReader::read_first_row() {
    if (!next()) {
        if (!options_.header) return;
        throw Error{Errc::invalid_input, "the input file " + path_in_quotes(file_.path()) +
                                             " is empty; it should begin with the names of its columns"};
    }
    if (fields_ == 0 || (options_.header && !row_.problem().empty())) {
        throw Error{Errc::invalid_input, fmt::format("cannot use the first row of the input file {}: {}",
                                                     path_in_quotes(file_.path()), row_.problem())};
    }
    if (!options_.header) {  // it is read again
        next_row_ = row_index_;
        next_begin_ = row_.begin_;
        next_end_ = static_cast<std::size_t>(row_.ends_ - marks_.ends.data());
        next_stray_ = 0;
        return;
    }
    std::string scratch;
    for (std::size_t i = 0; i < fields_; ++i) names_.emplace_back(row_.field(i, scratch));
}

void CsvReader::go_to_part() {
    const std::uint64_t size = *file_.size_bytes();
    const std::uint64_t begin = begin_of(options_.part, options_.parts, size);
    begins_before_ = begin_of(options_.part + 1, options_.parts, size);
    const std::uint64_t data_begin = base_ + next_begin_;
    if (begin <= data_begin) return;
    // From one byte earlier: if that ends a row, the next row begins where the part does.
    const std::uint64_t from = begin - 1;
    state_ = {};
    *lines_before_ += lines_up_to(next_row_, next_begin_);
    if (options_.dialect.quote == '\0') {
        lines_before_.reset();
    } else {
        for (std::uint64_t at = data_begin; at < from;) {
            const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(capacity_, from - at));
            const std::size_t count = file_.read_at(at, buffer_, room);
            *lines_before_ += scanner_.skip({buffer_, count}, state_);
            at += count;
        }
    }
    marks_.clear();
    next_row_ = 0;
    next_begin_ = 0;
    next_end_ = 0;
    next_stray_ = 0;
    base_ = from;
    filled_ = 0;
    at_end_ = false;
    dropping_ = true;
}

std::size_t CsvReader::column(std::string_view name) const {
    const auto found = std::find(names_.begin(), names_.end(), name);
    const bool is_unique = found != names_.end() && std::find(found + 1, names_.end(), name) == names_.end();
    if (is_unique) return static_cast<std::size_t>(found - names_.begin());
    throw Error{
        Errc::invalid_input,
        fmt::format("the input file {} has {} {}; its columns are {}", path_in_quotes(file_.path()),
                    found == names_.end() ? "no column" : "several columns", in_quotes(name), fmt::join(names_, ", "))};
}

bool CsvReader::next() {
    for (;;) {
        while (next_row_ < marks_.row_ends.size()) {
            if (base_ + next_begin_ >= begins_before_) return false;
            if (take_row()) return true;
        }
        if (at_end_ || base_ + next_begin_ >= begins_before_) return false;
        if (!dropping_ && filled_ - next_begin_ >= options_.max_row_bytes) {
            take_start_of_long_row();
            return true;
        }
        refill();
    }
}

/// @return false for an empty line.
bool CsvReader::take_row() {
    row_index_ = next_row_++;
    row_.begin_ = next_begin_;
    row_.end_ = marks_.row_ends[row_index_];
    const std::size_t first_end = next_end_;
    next_end_ = index_after(row_.end_);
    next_begin_ = row_.end_ + 1;
    if (row_.end_ > row_.begin_ && buffer_[row_.end_ - 1] == '\r') --row_.end_;
    if (row_.end_ == row_.begin_) return false;
    row_.buffer_ = buffer_;
    row_.ends_ = marks_.ends.data() + first_end;
    row_.fields_ = next_end_ - first_end;
    if (!row_.problem_.empty()) row_.problem_.clear();
    if (fields_ == 0) fields_ = row_.fields_;
    if (row_.fields_ != fields_) {
        row_.problem_ =
            fmt::format("it has {} field{} instead of {}", row_.fields_, row_.fields_ == 1 ? "" : "s", fields_);
    }
    if (marks_.has_quotes) check_quotes();
    return true;
}

/// Where in `ends` the row after the one that ends there begins.
std::size_t CsvReader::index_after(std::size_t row_end) const noexcept {
    const std::size_t expected = next_end_ + fields_;
    if (fields_ > 0 && expected <= marks_.ends.size() && marks_.ends[expected - 1] == row_end) return expected;
    const auto* const first = marks_.ends.data();
    return static_cast<std::size_t>(std::upper_bound(first + next_end_, first + marks_.ends.size(), row_end) - first);
}

void CsvReader::check_quotes() {
    while (next_stray_ < marks_.strays.size() && marks_.strays[next_stray_] < row_.begin_) ++next_stray_;
    if (next_stray_ < marks_.strays.size() && marks_.strays[next_stray_] < row_.end_) {
        row_.problem_ = "a quote stands inside an unquoted field";
        return;
    }
    // Without strays each quote opens or closes, so that a field that begins and ends with one is well-formed.
    const char quote = options_.dialect.quote;
    for (std::size_t i = 0; i < row_.fields_; ++i) {
        const std::string_view field = row_.raw(i);
        if (field.empty() || field.front() != quote) continue;
        if (i + 1 == row_.fields_ && ends_in_quotes_ && next_row_ == marks_.row_ends.size()) {
            row_.problem_ = "a quoted field does not end";
        } else if (field.size() < 2 || field.back() != quote) {
            row_.problem_ = "text follows a closing quote";
        } else {
            continue;
        }
        return;
    }
}

void CsvReader::take_start_of_long_row() {
    constexpr std::size_t shown = 1024;
    row_index_ = next_row_;
    row_.buffer_ = buffer_;
    row_.ends_ = nullptr;
    row_.begin_ = next_begin_;
    row_.end_ = next_begin_ + std::min(shown, options_.max_row_bytes);
    row_.fields_ = 0;
    row_.problem_ = fmt::format("it is longer than {} bytes; a quote may be missing", options_.max_row_bytes);
    dropping_ = true;
}

void CsvReader::refill() {
    const std::size_t keep_from = dropping_ ? filled_ : next_begin_;
    if (lines_before_) *lines_before_ += lines_up_to(marks_.row_ends.size(), keep_from);
    base_ += keep_from;
    filled_ -= keep_from;
    if (!dropping_) state_ = {};
    make_room(keep_from);
    marks_.clear();
    next_row_ = 0;
    next_begin_ = 0;
    next_end_ = 0;
    next_stray_ = 0;
    const std::size_t count = read_more();
    filled_ += count;
    // What was kept is scanned again: it is less than a row.
    scanner_.scan({buffer_, filled_}, state_, marks_);
    if (count == 0) end_last_row();
    if (dropping_ && marks_.row_ends.size() > 0) {
        dropping_ = false;
        next_row_ = 1;
        next_begin_ = marks_.row_ends[0] + 1U;
        next_end_ = index_after(marks_.row_ends[0]);
    }
}

void CsvReader::end_last_row() {
    at_end_ = true;
    if (dropping_ || filled_ == 0) return;
    ends_in_quotes_ = state_.quoted;
    marks_.row_ends.push_back(static_cast<std::uint32_t>(filled_));
    marks_.ends.push_back(static_cast<std::uint32_t>(filled_));
}

/// Moves what is still needed to the front, into a larger buffer if it is half of this one.
void CsvReader::make_room(std::size_t keep_from) {
    if (filled_ <= capacity_ / 2) {
        if (filled_ > 0) std::memmove(buffer_, buffer_ + keep_from, filled_);
        return;
    }
    capacity_ *= 2;
    auto larger = std::make_unique<char[]>(capacity_ + 2 * margin);
    std::memcpy(larger.get() + margin, buffer_ + keep_from, filled_);
    memory_ = std::move(larger);
    buffer_ = memory_.get() + margin;
}

std::size_t CsvReader::read_more() {
    if (file_.size_bytes()) return file_.read_at(base_ + filled_, buffer_ + filled_, capacity_ - filled_);
    return file_.read_next(buffer_ + filled_, capacity_ - filled_);
}

/// Line ends in the buffer before the row that begins there.
std::uint64_t CsvReader::lines_up_to(std::size_t row_index, std::size_t begin) const noexcept {
    return row_index + count_below(marks_.embedded, begin);
}

std::uint64_t CsvReader::line() {
    if (!lines_before_) {
        lines_before_ = 0;
        std::string block(capacity_, '\0');
        QuoteState unused;
        for (std::uint64_t at = 0; at < base_;) {
            const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), base_ - at));
            const std::size_t count = file_.read_at(at, block.data(), room);
            *lines_before_ += scanner_.skip({block.data(), count}, unused);
            at += count;
        }
    }
    return *lines_before_ + lines_up_to(row_index_, row_.begin_) + 1;
}

bool CsvReader::check_growth() const {
    const bool grew = file_.grew();
    if (grew && options_.parts > 1) fail_for_growth();
    return grew;
}

void CsvReader::fail_for_growth() const {
    throw Error{Errc::invalid_input,
                "the input file " + path_in_quotes(file_.path()) +
                    " grew while its parts were read, so some of its rows may be missing or there twice; let it be "
                    "complete before the run, or set \"instances\" to 1"};
}

}  // namespace penstock
