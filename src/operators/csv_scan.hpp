#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace penstock {

/// Which characters part the fields of a file and hold them together.
struct CsvDialect {
    char delimiter = ',';
    char quote = '"';  ///< 0 for none: then every line end ends a row.
};

/// Where a scan stands between two bytes.
///
/// A quote opens a field only where the field begins, and ends it where no second quote follows. A quote inside an
/// unquoted field is a letter ("stray"): it spoils its own row and not the rest of the file.
struct QuoteState {
    bool quoted = false;
    bool may_open = true;  ///< A quote as next byte begins or continues a quoted field; of no meaning inside quotes.

    friend bool operator==(const QuoteState&, const QuoteState&) = default;
};

/// What 64 bytes of text hold; bit i stands for byte i.
struct CsvMasks {
    std::uint64_t delimiters = 0;
    std::uint64_t newlines = 0;
    std::uint64_t quotes = 0;
    std::uint64_t marks = 0;  ///< How many delimiters and newlines.
};

/// A way to find them: `masks` gets one entry for each 64 bytes of the text, whose size is a multiple of that.
/// Returns the number of newlines.
struct CsvScanMethod {
    std::string_view name;
    std::uint64_t (*find)(std::string_view text, CsvDialect dialect, CsvMasks* masks) noexcept;
};

/// The methods that this processor can run, the fastest first. The last one needs no vector instructions.
[[nodiscard]] std::span<const CsvScanMethod> csv_scan_methods() noexcept;

/// Positions, ascending. Keeps its memory, and writes it only once.
class CsvPositions {
public:
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::uint32_t operator[](std::size_t index) const noexcept { return positions_[index]; }
    [[nodiscard]] const std::uint32_t* data() const noexcept { return positions_.data(); }
    void clear() noexcept { size_ = 0; }
    void push_back(std::uint32_t position) {
        *room(1) = position;
        ++size_;
    }
    /// Where the next ones go, with room for so many; `grow_by` then says how many were written.
    [[nodiscard]] std::uint32_t* room(std::size_t more) {
        if (positions_.size() - size_ < more) positions_.resize(2 * positions_.size() + more);
        return positions_.data() + size_;
    }
    void grow_by(std::size_t written) noexcept { size_ += written; }

private:
    std::vector<std::uint32_t> positions_;
    std::size_t size_ = 0;
};

/// Positions in a scanned text.
struct CsvMarks {
    CsvPositions ends;      ///< Of fields: delimiters and line ends outside quotes.
    CsvPositions row_ends;  ///< Those of them that are line ends.
    CsvPositions embedded;  ///< Line ends inside quotes.
    CsvPositions strays;    ///< Quotes inside unquoted fields.
    bool has_quotes = false;

    void clear() noexcept {
        ends.clear();
        row_ends.clear();
        embedded.clear();
        strays.clear();
        has_quotes = false;
    }
};

/// Finds the structure of CSV text. Stateless: the caller carries the state from one piece of text to the next.
class CsvScanner {
public:
    explicit CsvScanner(CsvDialect dialect, CsvScanMethod method = csv_scan_methods().front()) noexcept
        : dialect_{dialect}, method_{method} {}

    /// Adds the marks of the text, which is shorter than 4 GiB, and moves the state over it.
    void scan(std::string_view text, QuoteState& state, CsvMarks& marks) const;
    /// Only moves the state. @return the line ends in the text, those inside quotes too.
    [[nodiscard]] std::uint64_t skip(std::string_view text, QuoteState& state) const;

private:
    template <class Take>
    std::uint64_t for_each_block(std::string_view text, Take&& take) const;

    CsvDialect dialect_;
    CsvScanMethod method_;
};

}  // namespace penstock
