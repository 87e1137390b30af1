#include "limits/measure.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <stdexcept>

#include <sched.h>

namespace penstock::bench {
namespace {

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (static_cast<unsigned char>(c) < 0x20) {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
            out += escape.data();
        } else {
            out += c;
        }
    }
    return out + '"';
}

std::string number(std::optional<double> value) {
    if (!value || !std::isfinite(*value)) return "null";
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.6g", *value);
    return text.data();
}

std::string printed(const char* format, double value) {
    std::array<char, 48> text{};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
}

/// Forgets `count` arguments from position `at` on.
void drop(int& argc, char** argv, int at, int count) {
    std::move(argv + at + count, argv + argc + 1, argv + at);
    argc -= count;
}

// 16 bytes, which every 64-bit CPU has in hardware, so that a build for a generic CPU is not held back by the compiler.
using Words = std::uint64_t __attribute__((vector_size(16)));
constexpr std::size_t step_bytes = 4 * sizeof(Words);

}  // namespace

bool is_lower_better(std::string_view unit) {
    const auto word = unit.substr(0, unit.find_first_of(" /"));
    return word == "ns" || word == "us" || word == "ms" || word == "s" || word == "cpu";
}

std::optional<double> ratio(const Row& row) {
    if (!row.limit) return std::nullopt;
    return is_lower_better(row.unit) ? *row.limit / row.value : row.value / *row.limit;
}

std::string to_json(const Row& row) {
    return "{\"bench\": " + quoted(row.bench) + ", \"case\": " + quoted(row.scenario) +
           ", \"size_bytes\": " + std::to_string(row.size_bytes) + ", \"value\": " + number(row.value) +
           ", \"unit\": " + quoted(row.unit) + ", \"limit\": " + number(row.limit) +
           ", \"ratio\": " + number(ratio(row)) + "}";
}

std::string format_size(std::size_t size_bytes) {
    if (size_bytes == 0) return "-";
    constexpr std::array units{"B", "KiB", "MiB", "GiB"};
    std::size_t unit = 0;
    while (unit + 1 < units.size() && size_bytes % 1024 == 0) {
        size_bytes /= 1024;
        ++unit;
    }
    return std::to_string(size_bytes) + ' ' + units.at(unit);
}

std::string format_value(double value, std::string_view unit) {
    if (!std::isfinite(value)) return "-";
    const bool is_count = unit.starts_with("msg/s") || unit.starts_with("tickets/s");
    if (is_count && value >= 1e6) return printed("%.4g M ", value / 1e6) + std::string{unit};
    if (is_count && value >= 1e4) return printed("%.4g k ", value / 1e3) + std::string{unit};
    return printed("%.4g ", value) + std::string{unit};
}

void Report::finish() const {
    std::vector<std::array<std::string, 6>> cells;
    cells.push_back({"bench", "case", "size", "value", "limit", "ratio"});
    for (const Row& row : rows_) {
        const auto share = ratio(row);
        cells.push_back({row.bench, row.scenario, format_size(row.size_bytes), format_value(row.value, row.unit),
                         row.limit ? format_value(*row.limit, row.unit) : "-", share ? printed("%.3f", *share) : "-"});
    }
    std::array<std::size_t, 6> widths{};
    for (const auto& line : cells) {
        for (std::size_t i = 0; i < line.size(); ++i) widths.at(i) = std::max(widths.at(i), line.at(i).size());
    }
    for (const auto& line : cells) {
        for (std::size_t i = 0; i < line.size(); ++i) {
            const int width = static_cast<int>(widths.at(i));
            std::printf(i < 2 ? "%-*s  " : "%*s  ", width, line.at(i).c_str());
        }
        std::printf("\n");
    }
    std::fflush(stdout);
    write_file();
}

void Report::write_file() const {
    if (json_file_.empty()) return;
    std::ofstream file{json_file_};
    file << "[";
    for (std::size_t i = 0; i < rows_.size(); ++i) file << (i == 0 ? "\n  " : ",\n  ") << to_json(rows_[i]);
    file << "\n]\n";
    file.close();
    if (!file) throw std::runtime_error{"cannot write \"" + json_file_ + "\""};
}

int run_bench(const char* name, int argc, char** argv, void (*body)(int argc, char** argv)) {
    try {
        body(argc, argv);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name, error.what());
        return 1;
    }
}

std::string take_option(int& argc, char** argv, std::string_view name, std::string_view fallback) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (!argument.starts_with(name)) continue;
        if (argument.size() > name.size() && argument[name.size()] == '=') {
            std::string value{argument.substr(name.size() + 1)};
            drop(argc, argv, i, 1);
            return value;
        }
        if (argument != name) continue;
        if (i + 1 == argc) throw std::runtime_error{"a value is missing after " + std::string{name}};
        std::string value = argv[i + 1];
        drop(argc, argv, i, 2);
        return value;
    }
    return std::string{fallback};
}

bool take_flag(int& argc, char** argv, std::string_view name) {
    for (int i = 1; i < argc; ++i) {
        if (argv[i] != name) continue;
        drop(argc, argv, i, 1);
        return true;
    }
    return false;
}

std::size_t parse_size(std::string_view text) {
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
    unsigned shift = 0;
    if (unit == "KiB" || unit == "K") shift = 10;
    if (unit == "MiB" || unit == "M") shift = 20;
    if (unit == "GiB" || unit == "G") shift = 30;
    const bool is_unit_known = shift != 0 || unit.empty() || unit == "B";
    if (error != std::errc{} || !is_unit_known || value > (std::numeric_limits<std::size_t>::max() >> shift)) {
        throw std::runtime_error{"\"" + std::string{text} + "\" is not a size"};
    }
    return value << shift;
}

double percentile(std::vector<double> values, double p) {
    if (values.empty()) return std::nan("");
    const auto rank = std::ceil(std::clamp(p, 0.0, 100.0) / 100.0 * static_cast<double>(values.size()));
    const auto position = values.begin() + std::max<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(rank) - 1);
    std::nth_element(values.begin(), position, values.end());
    return *position;
}

double median(std::vector<double> values) {
    if (values.empty()) return std::nan("");
    std::sort(values.begin(), values.end());
    const auto middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> cpus;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
    }
    return cpus;
}

void pin_to(const std::vector<int>& cpus) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::runtime_error{std::string{"cannot pin to a CPU: "} + std::strerror(errno)};
    }
}

void pin_to(int cpu) {
    pin_to(std::vector<int>{cpu});
}

std::int64_t now_ns() noexcept {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

SteadyRate::SteadyRate(double seconds) noexcept
    : warm_ns_{now_ns() + static_cast<std::int64_t>(std::min(seconds / 4, 0.5) * 1e9)},
      end_ns_{warm_ns_ + static_cast<std::int64_t>(seconds * 1e9)} {}

bool SteadyRate::is_over(std::uint64_t count) noexcept {
    const std::int64_t now = now_ns();
    if (first_ns_ == 0 && now >= warm_ns_) {
        first_ns_ = now;
        first_count_ = count;
    }
    last_ns_ = now;
    last_count_ = count;
    return now >= end_ns_;
}

double SteadyRate::per_second() const noexcept {
    return static_cast<double>(last_count_ - first_count_) / (static_cast<double>(last_ns_ - first_ns_) * 1e-9);
}

std::size_t window(std::size_t size_bytes, std::size_t most) noexcept {
    constexpr std::size_t total_bytes = std::size_t{64} << 20U;
    return std::bit_floor(std::clamp<std::size_t>(total_bytes / std::max<std::size_t>(size_bytes, 1), 4, most));
}

// Four lanes in variables of their own: an array of them is kept in memory by g++ 12, at half the speed.
void fill(std::span<std::byte> blob, std::uint64_t sequence) noexcept {
    std::byte* out = blob.data();
    std::size_t left = blob.size();
    Words a{sequence, sequence + 1};
    Words b = a + 2;
    Words c = a + 4;
    Words d = a + 6;
    for (; left >= step_bytes; left -= step_bytes, out += step_bytes) {
        std::memcpy(out, &a, sizeof a);
        std::memcpy(out + sizeof a, &b, sizeof b);
        std::memcpy(out + 2 * sizeof a, &c, sizeof c);
        std::memcpy(out + 3 * sizeof a, &d, sizeof d);
        a += 8;
        b += 8;
        c += 8;
        d += 8;
    }
    for (std::uint64_t word = a[0]; left > 0; ++word) {
        const std::size_t count = std::min(left, sizeof word);
        std::memcpy(out, &word, count);
        out += count;
        left -= count;
    }
}

std::uint64_t sum(std::span<const std::byte> blob) noexcept {
    const auto load = [](const std::byte* from) {
        Words words;
        std::memcpy(&words, from, sizeof words);
        return words;
    };
    const std::byte* in = blob.data();
    std::size_t left = blob.size();
    Words a{};
    Words b{};
    Words c{};
    Words d{};
    for (; left >= step_bytes; left -= step_bytes, in += step_bytes) {
        a += load(in);
        b += load(in + sizeof a);
        c += load(in + 2 * sizeof a);
        d += load(in + 3 * sizeof a);
    }
    const Words all = (a + b) + (c + d);
    std::uint64_t total = all[0] + all[1];
    while (left > 0) {
        std::uint64_t word = 0;
        const std::size_t count = std::min(left, sizeof word);
        std::memcpy(&word, in, count);
        total += word;
        in += count;
        left -= count;
    }
    return total;
}

std::uint64_t expected_sum(std::size_t size_bytes, std::uint64_t sequence) noexcept {
    const std::uint64_t words = size_bytes / 8;
    const std::uint64_t tail_bytes = size_bytes % 8;
    // n (n - 1) / 2 without overflow before the division
    const std::uint64_t steps = words % 2 == 0 ? words / 2 * (words - 1) : (words - 1) / 2 * words;
    const std::uint64_t last = sequence + words;
    std::uint64_t tail = 0;
    std::memcpy(&tail, &last, tail_bytes);
    return words * sequence + steps + tail;
}

std::uint64_t sequence_of(std::span<const std::byte> blob) noexcept {
    std::uint64_t sequence = 0;
    std::memcpy(&sequence, blob.data(), sizeof sequence);
    return sequence;
}

void check_filled(std::span<const std::byte> blob, std::uint64_t sequence) {
    if (sum(blob) == expected_sum(blob.size(), sequence)) return;
    throw std::runtime_error{"payload " + std::to_string(sequence) + " of " + std::to_string(blob.size()) +
                             " bytes is damaged or out of order"};
}

}  // namespace penstock::bench
