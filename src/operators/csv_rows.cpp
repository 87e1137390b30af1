#include "operators/csv_rows.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <penstock/error.hpp>

namespace penstock {

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

void CsvRows::begin(std::string_view text, QuoteState state) {
    marks_.clear();
    text_ = text.data();
    size_ = text.size();
    state_ = state;
    row_index_ = next_row_ = 0;
    next_begin_ = next_end_ = next_stray_ = 0;
    ends_in_quotes_ = false;
    scanner_.scan(text, state_, marks_);
}

void CsvRows::end_text() {
    if (size_ == 0 || (marks_.row_ends.size() > 0 && marks_.row_ends[marks_.row_ends.size() - 1] + 1U == size_)) return;
    ends_in_quotes_ = state_.quoted;
    marks_.row_ends.push_back(static_cast<std::uint32_t>(size_));
    marks_.ends.push_back(static_cast<std::uint32_t>(size_));
}

void CsvRows::begin_whole(std::string_view text) {
    if (text.size() >= std::numeric_limits<std::uint32_t>::max()) {
        throw Error{Errc::invalid_input,
                    fmt::format("a text of {} bytes is too large; send batches of less than 4 GiB", text.size())};
    }
    begin(text);
    end_text();
}

bool CsvRows::next() {
    while (next_row_ < marks_.row_ends.size()) {
        if (take()) return true;
    }
    return false;
}

/// @return false for an empty line.
bool CsvRows::take() {
    row_index_ = next_row_++;
    row_.begin_ = next_begin_;
    row_.end_ = marks_.row_ends[row_index_];
    const std::size_t first_end = next_end_;
    next_end_ = index_after(row_.end_);
    next_begin_ = row_.end_ + 1;
    if (row_.end_ > row_.begin_ && text_[row_.end_ - 1] == '\r') --row_.end_;
    if (row_.end_ == row_.begin_) return false;
    row_.buffer_ = text_;
    row_.ends_ = marks_.ends.data() + first_end;
    row_.fields_ = next_end_ - first_end;
    if (!row_.problem_.empty()) row_.problem_.clear();
    if (fields_ == 0) fields_ = row_.fields_;
    if (row_.fields_ != fields_ && fields_ != any_number_of_fields) {
        row_.problem_ =
            fmt::format("it has {} field{} instead of {}", row_.fields_, row_.fields_ == 1 ? "" : "s", fields_);
    }
    if (marks_.has_quotes) check_quotes();
    return true;
}

/// Where in `ends` the row after the one that ends there begins.
std::size_t CsvRows::index_after(std::size_t row_end) const noexcept {
    const std::size_t left = marks_.ends.size() - next_end_;
    if (fields_ > 0 && fields_ <= left && marks_.ends[next_end_ + fields_ - 1] == row_end) return next_end_ + fields_;
    const auto* const first = marks_.ends.data();
    return static_cast<std::size_t>(std::upper_bound(first + next_end_, first + marks_.ends.size(), row_end) - first);
}

void CsvRows::check_quotes() {
    while (next_stray_ < marks_.strays.size() && marks_.strays[next_stray_] < row_.begin_) ++next_stray_;
    if (next_stray_ < marks_.strays.size() && marks_.strays[next_stray_] < row_.end_) {
        row_.problem_ = "a quote stands inside an unquoted field";
        return;
    }
    // Without strays each quote opens or closes, so that a field that begins and ends with one is well-formed.
    for (std::size_t i = 0; i < row_.fields_; ++i) {
        const std::string_view field = row_.raw(i);
        if (field.empty() || field.front() != quote_ || quote_ == '\0') continue;
        if (i + 1 == row_.fields_ && ends_in_quotes_ && next_row_ == marks_.row_ends.size()) {
            row_.problem_ = "a quoted field does not end";
        } else if (field.size() < 2 || field.back() != quote_) {
            row_.problem_ = "text follows a closing quote";
        } else {
            continue;
        }
        return;
    }
}

void CsvRows::step_back() noexcept {
    next_row_ = row_index_;
    next_begin_ = row_.begin_;
    next_end_ = static_cast<std::size_t>(row_.ends_ - marks_.ends.data());
    next_stray_ = 0;
}

bool CsvRows::drop_rest_of_row() {
    if (marks_.row_ends.size() == 0) return false;
    next_row_ = 1;
    next_begin_ = marks_.row_ends[0] + std::size_t{1};
    next_end_ = index_after(marks_.row_ends[0]);
    return true;
}

void CsvRows::take_start(std::size_t size_bytes, std::string problem) {
    row_index_ = next_row_;
    row_.buffer_ = text_;
    row_.ends_ = nullptr;
    row_.begin_ = next_begin_;
    row_.end_ = next_begin_ + size_bytes;
    row_.fields_ = 0;
    row_.problem_ = std::move(problem);
}

std::size_t CsvRows::lines_before(std::size_t row_index, std::size_t begin) const noexcept {
    const auto* const first = marks_.embedded.data();
    const auto* const last = first + marks_.embedded.size();
    return row_index + static_cast<std::size_t>(std::lower_bound(first, last, begin) - first);
}

}  // namespace penstock
