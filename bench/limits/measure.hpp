#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What every benchmark needs: rows of results, statistics, pinning, and the two ways a payload is touched.
namespace penstock::bench {

/// One measured value, in the words of the JSON file: bench, case, size_bytes, value, unit, limit, ratio.
struct Row {
    std::string bench;            ///< Who was measured, such as "edge" or "zeromq-ipc".
    std::string scenario;         ///< What was done, such as "W1b"; the key is "case" in JSON.
    std::size_t size_bytes = 0;   ///< Of one payload; 0 where there is none.
    double value = 0;             ///< In `unit`.
    std::string unit;             ///< "msg/s", "GB/s" (10^9), "us p50", …
    std::optional<double> limit;  ///< What the machine can do, measured in the same run, in the same unit.
};

/// True for times and costs, false for rates: decided by the first word of the unit (ns, us, ms, s, s/GB).
[[nodiscard]] bool is_lower_better(std::string_view unit);

/// The share of the limit that was reached: 1.0 is the limit, whichever direction is better.
[[nodiscard]] std::optional<double> ratio(const Row& row);

/// One JSON object on one line, all seven keys; what is unknown or not finite is null.
[[nodiscard]] std::string to_json(const Row& row);

/// "64 B", "64 KiB", "1 MiB"; "-" for 0.
[[nodiscard]] std::string format_size(std::size_t size_bytes);

/// Five significant digits with the unit prefixed: "12.345 M msg/s", "9.87 GB/s".
[[nodiscard]] std::string format_value(double value, std::string_view unit);

/// Collects rows, prints them as an aligned table, and writes them as a JSON array when a file was named.
class Report {
public:
    /// @param json_file  Empty for the table alone.
    explicit Report(std::string json_file = {}) : json_file_{std::move(json_file)} {}

    void add(Row row) { rows_.push_back(std::move(row)); }
    [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }

    /// Prints the table to stdout and writes the file.
    /// @throws std::runtime_error if the file cannot be written.
    void finish() const;
    /// Writes the file alone, for who prints a table of its own. @throws as `finish`.
    void write_file() const;

private:
    std::string json_file_;
    std::vector<Row> rows_;
};

/// What `main` of a benchmark does: runs the body, and says on stderr under that name what it throws.
/// @return the exit code.
[[nodiscard]] int run_bench(const char* name, int argc, char** argv, void (*body)(int argc, char** argv));

/// Removes "--name VALUE" (or "--name=VALUE") from the arguments and returns VALUE; `fallback` where it is absent.
/// @throws std::runtime_error if the value is missing.
[[nodiscard]] std::string take_option(int& argc, char** argv, std::string_view name, std::string_view fallback = {});

/// Removes "--name" from the arguments; false where it is absent.
[[nodiscard]] bool take_flag(int& argc, char** argv, std::string_view name);

/// "4096", "64KiB", "1MiB", "2GiB" as bytes.
/// @throws std::runtime_error for anything else.
[[nodiscard]] std::size_t parse_size(std::string_view text);

/// NaN for no values.
[[nodiscard]] double median(std::vector<double> values);

/// @param p  0 to 100; nearest rank. NaN for no values.
[[nodiscard]] double percentile(std::vector<double> values, double p);

/// The CPUs this process may run on, in ascending order.
[[nodiscard]] std::vector<int> allowed_cpus();

/// Binds the calling thread, and the threads it starts from now on.
/// @throws std::runtime_error if the kernel refuses.
void pin_to(const std::vector<int>& cpus);
void pin_to(int cpu);

/// Monotonic nanoseconds, comparable between the processes of one machine.
[[nodiscard]] std::int64_t now_ns() noexcept;

/// A rate in the steady state: what comes before a warm-up is over (a quarter of the time, at most 0.5 s) is not
/// counted, as memory is touched for the first time then.
class SteadyRate {
public:
    /// @param seconds  Of the measurement, which follows the warm-up.
    explicit SteadyRate(double seconds) noexcept;

    /// @param count  What was done since the beginning. @return true when the time is up.
    [[nodiscard]] bool is_over(std::uint64_t count) noexcept;
    [[nodiscard]] double per_second() const noexcept;

private:
    std::int64_t warm_ns_;
    std::int64_t end_ns_;
    std::int64_t first_ns_ = 0;
    std::int64_t last_ns_ = 0;
    std::uint64_t first_count_ = 0;
    std::uint64_t last_count_ = 0;
};

/// How many payloads may be in flight: 64 MiB of them, which no cache holds, but at least 4 and at most `most`.
/// A power of two. The bare ring and the peers use it, so that they are compared with like windows.
[[nodiscard]] std::size_t window(std::size_t size_bytes, std::size_t most = 1024) noexcept;

/// Writes every byte: the 64-bit word i becomes `sequence` + i, a last partial word is cut off.
void fill(std::span<std::byte> blob, std::uint64_t sequence) noexcept;

/// Reads every byte and adds up the 64-bit words, modulo 2^64; a last partial word counts as if zeros followed.
[[nodiscard]] std::uint64_t sum(std::span<const std::byte> blob) noexcept;

/// What `sum` gives for a blob that `fill` wrote. Constant time.
[[nodiscard]] std::uint64_t expected_sum(std::size_t size_bytes, std::uint64_t sequence) noexcept;

/// The sequence that `fill` was given. Needs at least 8 bytes.
[[nodiscard]] std::uint64_t sequence_of(std::span<const std::byte> blob) noexcept;

/// Sums the blob and compares with what `fill` wrote for this sequence.
/// @throws std::runtime_error if a word is lost, stale, or out of order.
void check_filled(std::span<const std::byte> blob, std::uint64_t sequence);

/// Tells the CPU that this is a spin loop.
inline void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace penstock::bench
