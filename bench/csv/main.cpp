#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "limits/measure.hpp"
#include "operators/csv_numbers.hpp"
#include "operators/csv_reader.hpp"
#include "operators/csv_scan.hpp"

/// How fast one core reads CSV from the page cache, next to a plain sum of the same bytes.
namespace {

using namespace penstock;
using bench::Row;

constexpr std::size_t columns = 8;

/// Rows of numbers with that many digits behind the point.
std::string make_rows(std::size_t size_bytes, int digits, bool quoted) {
    std::mt19937_64 random{1};
    std::uniform_real_distribution<double> value{0, 1000};
    std::string text = "a,b,c,d,e,f,g,h\n";
    std::array<char, 64> field;
    while (text.size() < size_bytes) {
        for (std::size_t column = 0; column < columns; ++column) {
            const int length = std::snprintf(field.data(), field.size(), "%.*f", digits, value(random));
            if (quoted && column == 0) text += '"';
            text.append(field.data(), static_cast<std::size_t>(length));
            if (quoted && column == 0) text += ",\"";
            text += column + 1 == columns ? '\n' : ',';
        }
    }
    return text;
}

/// A file that is gone with this object.
class TestFile {
public:
    explicit TestFile(const std::string& text) : path_{"/tmp/penstock-csv-XXXXXX"}, size_bytes_{text.size()} {
        if (const char* folder = std::getenv("TMPDIR")) path_ = std::string{folder} + "/penstock-csv-XXXXXX";
        const int file = mkstemp(path_.data());
        if (file < 0) throw std::runtime_error{"cannot create " + path_};
        close(file);
        std::ofstream{path_, std::ios::binary} << text;
    }
    ~TestFile() { std::remove(path_.c_str()); }
    TestFile(const TestFile&) = delete;
    TestFile& operator=(const TestFile&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::size_t size_bytes() const noexcept { return size_bytes_; }

private:
    std::string path_;
    std::size_t size_bytes_;
};

std::uint64_t kept = 0;  // so that no work is left out

/// GB/s: the median of several rounds over the whole file.
double rate(std::size_t size_bytes, int rounds, const std::function<void()>& work) {
    std::vector<double> rates;
    for (int round = 0; round <= rounds; ++round) {
        const std::int64_t begin = bench::now_ns();
        work();
        const auto ns = static_cast<double>(bench::now_ns() - begin);
        if (round > 0) rates.push_back(static_cast<double>(size_bytes) / ns);
    }
    return bench::median(rates);
}

/// Reads the file block by block, as the reader does, and hands out the blocks.
template <class Take>
void read_blocks(const TestFile& file, Take&& take) {
    static std::vector<char> block(std::size_t{256} << 10U);
    const InputFile input{file.path()};
    std::uint64_t at = 0;
    while (const std::size_t count = input.read_at(at, block.data(), block.size())) {
        take(std::string_view{block.data(), count});
        at += count;
    }
}

void sum_mapped(const TestFile& file) {
    const int handle = open(file.path().c_str(), O_RDONLY | O_CLOEXEC);
    void* const map = mmap(nullptr, file.size_bytes(), PROT_READ, MAP_PRIVATE, handle, 0);
    close(handle);
    if (map == MAP_FAILED) throw std::runtime_error{"cannot map " + file.path()};
    kept += bench::sum({static_cast<const std::byte*>(map), file.size_bytes()});
    munmap(map, file.size_bytes());
}

template <class T>
void read_numbers(const TestFile& file) {
    CsvReader reader{file.path()};
    std::vector<std::uint32_t> all(reader.fields());
    std::iota(all.begin(), all.end(), 0U);
    const CsvNumbers<T> numbers{all, EmptyField::is_bad};
    std::vector<T> out(all.size());
    while (reader.next()) {
        if (!reader.row().problem().empty() || numbers.read(reader.row(), out.data()) != all.size()) {
            throw std::runtime_error{"a row is bad"};
        }
        kept += static_cast<std::uint64_t>(out[0]);
    }
}

void measure(bench::Report& report, const std::string& what, const TestFile& file, int rounds, bool numeric) {
    const double plain = rate(file.size_bytes(), rounds, [&] {
        read_blocks(file, [](std::string_view block) { kept += bench::sum(std::as_bytes(std::span{block})); });
    });
    const auto add = [&](const std::string& work, const std::function<void()>& run) {
        report.add(
            Row{"csv", work + " " + what, file.size_bytes(), rate(file.size_bytes(), rounds, run), "GB/s", plain});
    };
    report.add(Row{"csv", "read and sum " + what, file.size_bytes(), plain, "GB/s", std::nullopt});
    add("map and sum", [&] { sum_mapped(file); });
    for (const CsvScanMethod& method : csv_scan_methods()) {
        const CsvScanner scanner{{}, method};
        add("quotes by " + std::string{method.name}, [&] {
            QuoteState state;
            read_blocks(file, [&](std::string_view block) { kept += scanner.skip(block, state); });
        });
    }
    add("rows", [&] {
        CsvReader reader{file.path()};
        while (reader.next()) kept += reader.row().text().size();
    });
    if (!numeric) return;
    add("f64", [&] { read_numbers<double>(file); });
    add("f32", [&] { read_numbers<float>(file); });
}

int run(int argc, char** argv) {
    const std::string json = bench::take_option(argc, argv, "--json");
    const std::size_t size = bench::parse_size(bench::take_option(argc, argv, "--size", "64MiB"));
    const int rounds = std::stoi(bench::take_option(argc, argv, "--rounds", "7"));
    if (bench::take_flag(argc, argv, "--pin")) bench::pin_to(bench::allowed_cpus().front());
    bench::Report report{json};
    for (const int digits : {3, 6, 12}) {
        measure(report, std::to_string(digits) + " decimals", TestFile{make_rows(size, digits, false)}, rounds, true);
    }
    measure(report, "quoted", TestFile{make_rows(size, 6, true)}, rounds, false);
    report.finish();
    return kept == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_csv: %s\n", error.what());
        return 1;
    }
}
