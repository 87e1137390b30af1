#include <cstdio>
#include <exception>

#include "limits/limits.hpp"
#include "limits/measure.hpp"

using namespace penstock::bench;

namespace {

constexpr std::size_t kibibyte = 1024;
constexpr std::size_t mebibyte = 1024 * kibibyte;

void measure(Report& report, std::chrono::milliseconds duration, const Placement& cpus) {
    report.add({"limit", "W1a", 64, ticket_rate(duration, cpus), "msg/s", {}});
    for (const std::size_t size : {64 * kibibyte, mebibyte, 16 * mebibyte}) {
        const RingRun untouched{.size_bytes = size, .slots = 4, .duration = duration, .cpus = cpus};
        report.add({"limit", "W1a, 4 slots", size, ring_rate(untouched).messages_per_s, "msg/s", {}});
    }
    for (const std::size_t size : {64 * kibibyte, mebibyte, 16 * mebibyte}) {
        report.add({"limit", "W1b", size, best_touched_rate(size, duration, cpus), "GB/s", {}});
        report.add({"limit", "W1b, 64 MiB", size, touched_rate(size, duration, cpus, window(size)), "GB/s", {}});
        report.add({"limit", "W1b, 4 slots", size, touched_rate(size, duration, cpus), "GB/s", {}});
        const RingRun summed{
            .size_bytes = size, .slots = window(size), .touch = Touch::sum_only, .duration = duration, .cpus = cpus};
        report.add({"limit", "W1b, sum only", size, ring_rate(summed).gigabytes_per_s, "GB/s", {}});
    }
    for (const std::size_t size : {std::size_t{64}, mebibyte}) {
        const Latency latency =
            ring_latency({.size_bytes = size, .touch = Touch::fill_and_sum, .duration = duration, .cpus = cpus});
        report.add({"limit", "W2", size, latency.p50_us, "us p50", {}});
        report.add({"limit", "W2", size, latency.p99_us, "us p99", {}});
    }
    for (const std::size_t size : {kibibyte, mebibyte}) {
        report.add({"limit", "W3", size, shared_rate(size, duration, cpus), "msg/s", {}});
    }
    const MemoryRun cold{.duration = duration, .cpu = cpus.producer};
    report.add({"limit", "memcpy, cold", cold.size_bytes, memcpy_rate(cold), "GB/s", {}});
    report.add({"limit", "fill, cold", cold.size_bytes, fill_rate(cold), "GB/s", {}});
    report.add({"limit", "sum, cold", cold.size_bytes, read_rate(cold), "GB/s", {}});
    for (const std::size_t size : {64 * kibibyte, mebibyte}) {
        const MemoryRun warm{.size_bytes = size, .is_cold = false, .duration = duration, .cpu = cpus.producer};
        report.add({"limit", "memcpy, warm", size, memcpy_rate(warm), "GB/s", {}});
        report.add({"limit", "fill, warm", size, fill_rate(warm), "GB/s", {}});
        report.add({"limit", "sum, warm", size, read_rate(warm), "GB/s", {}});
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        Report report{take_option(argc, argv, "--json")};
        const double seconds = std::stod(take_option(argc, argv, "--seconds", "0.3"));
        const bool has_pinning = take_flag(argc, argv, "--pin");
        if (argc > 1 || !(seconds > 0) || seconds > 60) {
            std::fputs("usage: bench_limits [--seconds S] [--pin] [--json FILE]\n", stderr);
            return 2;
        }
        const std::chrono::milliseconds duration{static_cast<int>(seconds * 1000)};
        measure(report, duration, has_pinning ? spread_cpus() : Placement{});
        report.finish();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench_limits: %s\n", error.what());
        return 1;
    }
}
