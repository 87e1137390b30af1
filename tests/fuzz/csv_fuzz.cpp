#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "operators/csv_reader.hpp"
#include "support/naive_csv.hpp"

namespace {

using penstock::CsvOptions;
using penstock::CsvReader;
using penstock::test::NaiveRow;

void expect(bool holds) {
    if (!holds) __builtin_trap();
}

/// A file in memory that can be opened by name.
class MemoryFile {
public:
    explicit MemoryFile(std::string_view content) : file_{memfd_create("csv", MFD_CLOEXEC)} {
        expect(write(file_, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
    }
    ~MemoryFile() { close(file_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

private:
    int file_;
};

void expect_same(CsvReader& reader, const NaiveRow& row, std::size_t fields) {
    const bool is_bad = row.has_bad_quotes || row.fields.size() != fields;
    expect(reader.byte() == row.byte && reader.line() == row.line && reader.row().text() == row.text);
    expect(reader.row().problem().empty() == !is_bad);
    if (is_bad) return;
    std::string scratch;
    for (std::size_t i = 0; i < fields; ++i) expect(reader.row().field(i, scratch) == row.fields[i]);
}

/// Reads all parts and holds their rows against those of the plain parser.
void compare(const MemoryFile& file, const std::vector<NaiveRow>& rows, CsvOptions options) {
    std::size_t next = 0;
    for (options.part = 0; options.part < options.parts; ++options.part) {
        CsvReader reader{file.path(), options};
        while (reader.next()) {
            expect(next < rows.size());
            expect_same(reader, rows[next], rows.front().fields.size());
            ++next;
        }
    }
    expect(next == rows.size());
}

}  // namespace

// Whatever stands in a file, the vectorised reader gives the rows that a plain parser gives, in any number of parts.
// The first bytes choose the dialect and the number of parts.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    CsvOptions options{.header = false, .parts = 1U + data[1] % 9U, .block_bytes = 64};
    if ((data[0] & 1U) != 0) options.dialect.delimiter = ';';
    if ((data[0] & 6U) == 2) options.dialect.quote = '\'';
    if ((data[0] & 6U) == 4) options.dialect.quote = '\0';
    const std::string_view text{reinterpret_cast<const char*>(data) + 2, size - 2};
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) return 0;  // refused as UTF-16

    const auto rows = penstock::test::NaiveCsv(text, options.dialect.delimiter, options.dialect.quote).rows();
    compare(MemoryFile{text}, rows, options);
    return 0;
}
