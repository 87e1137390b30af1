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

}  // namespace

CsvReader::CsvReader(std::string path, const CsvOptions& options)
    : file_{std::move(path), options.param},
      options_{options},
      rows_{options.dialect},
      capacity_{std::max<std::size_t>(options.block_bytes, margin)},
      begins_before_{std::numeric_limits<std::uint64_t>::max()},
      lines_before_{0} {
    if (options_.parts > 1 && !file_.size_bytes()) {
        throw Error{Errc::invalid_input, "the input " + path_in_quotes(file_.path()) +
                                             " is no regular file, so it cannot be shared; set \"instances\" to 1"};
    }
    memory_ = std::make_unique<char[]>(capacity_ + 2 * margin);
    buffer_ = memory_.get() + margin;
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
    rows_.begin({buffer_, filled_});
}

void CsvReader::read_first_row() {
    if (!next()) {
        if (!options_.header) return;
        throw Error{Errc::invalid_input, "the input file " + path_in_quotes(file_.path()) +
                                             " is empty; it should begin with the names of its columns"};
    }
    if (fields() == 0 || (options_.header && !row().problem().empty())) {
        throw Error{Errc::invalid_input, fmt::format("cannot use the first row of the input file {}: {}",
                                                     path_in_quotes(file_.path()), row().problem())};
    }
    if (!options_.header) {
        rows_.step_back();
        return;
    }
    std::string scratch;
    for (std::size_t i = 0; i < fields(); ++i) names_.emplace_back(row().field(i, scratch));
}

void CsvReader::go_to_part() {
    const std::uint64_t size = *file_.size_bytes();
    const std::uint64_t begin = part_begin(options_.part, options_.parts, size);
    begins_before_ = part_begin(options_.part + 1, options_.parts, size);
    const std::uint64_t data_begin = base_ + rows_.next_begin();
    if (begin <= data_begin) return;
    // From one byte earlier: if that ends a row, the next row begins where the part does.
    const std::uint64_t from = begin - 1;
    state_ = {};
    *lines_before_ += rows_.lines_before_next();
    if (options_.dialect.quote == '\0') {
        lines_before_.reset();
    } else {
        for (std::uint64_t at = data_begin; at < from;) {
            const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(capacity_, from - at));
            const std::size_t count = file_.read_at(at, buffer_, room);
            *lines_before_ += rows_.scanner().skip({buffer_, count}, state_);
            at += count;
        }
    }
    rows_.begin({}, state_);
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
        if (base_ + rows_.next_begin() >= begins_before_) return false;
        if (rows_.next()) return base_ + rows_.row().begin() < begins_before_;
        if (at_end_ || base_ + rows_.next_begin() >= begins_before_) return false;
        if (!dropping_ && filled_ - rows_.next_begin() >= options_.max_row_bytes) {
            constexpr std::size_t shown = 1024;
            rows_.take_start(std::min(shown, options_.max_row_bytes),
                             fmt::format("it is longer than {} bytes; a quote may be missing", options_.max_row_bytes));
            dropping_ = true;
            return true;
        }
        refill();
    }
}

void CsvReader::refill() {
    const std::size_t keep_from = dropping_ ? filled_ : rows_.next_begin();
    if (lines_before_) *lines_before_ += dropping_ ? rows_.lines() : rows_.lines_before_next();
    state_ = dropping_ ? rows_.state() : QuoteState{};
    base_ += keep_from;
    filled_ -= keep_from;
    make_room(keep_from);
    const std::size_t count = read_more();
    filled_ += count;
    // What was kept is scanned again: it is less than a row.
    rows_.begin({buffer_, filled_}, state_);
    at_end_ = count == 0;
    if (at_end_ && !dropping_) rows_.end_text();
    if (dropping_) dropping_ = !rows_.drop_rest_of_row();
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

std::uint64_t CsvReader::line() {
    if (!lines_before_) {
        lines_before_ = 0;
        std::string block(capacity_, '\0');
        QuoteState unused;
        for (std::uint64_t at = 0; at < base_;) {
            const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), base_ - at));
            const std::size_t count = file_.read_at(at, block.data(), room);
            *lines_before_ += rows_.scanner().skip({block.data(), count}, unused);
            at += count;
        }
    }
    return *lines_before_ + rows_.lines_before_row() + 1;
}

}  // namespace penstock
