#include <cstdio>
#include <exception>
#include <stdexcept>

#include "edge/workloads.hpp"
#include "limits/limits.hpp"
#include "limits/measure.hpp"

/// One channel between two processes, next to what the machine can do.
///
///   bench_edge [--seconds S] [--pin] [--transport auto|shm|ucx|mpi] [--json FILE]     every case, with limits
///   bench_edge --workload W1a|W1b|W2 --size BYTES [--seconds S] [--pin] [--idle spin|adaptive|block] [--window N]
///                                                                                 one row, for compare-peers
namespace penstock::bench {
namespace {

[[nodiscard]] Idle idle_of(std::string_view text) {
    if (text == "spin") return Idle::spin;
    if (text == "adaptive") return Idle::adaptive;
    if (text == "block") return Idle::block;
    throw std::runtime_error{"--idle is one of spin, adaptive, block"};
}

[[nodiscard]] std::string_view name_of(Idle idle) {
    return idle == Idle::spin ? "spin" : idle == Idle::block ? "block" : "adaptive";
}

void print_workload(const std::string& workload, const EdgeRun& asked) {
    EdgeRun run = asked;
    const auto print = [&](double value, const char* unit) {
        std::printf("%s\n", to_json(Row{"penstock", workload, run.size_bytes, value, unit, {}}).c_str());
    };
    run.touch = workload == "W1a" ? Touch::none : Touch::fill_and_sum;
    if (workload == "W1a") return print(edge_rate(run).messages_per_s, "msg/s");
    if (workload == "W1b") return print(edge_rate(run).gigabytes_per_s, "GB/s");
    if (workload != "W2") throw std::runtime_error{"--workload is one of W1a, W1b, W2; W3 is bench_pipeline's"};
    const Latency latency = edge_latency(run);
    print(latency.p50_us, "us p50");
    print(latency.p99_us, "us p99");
}

void measure_size(Report& report, EdgeRun run) {
    const std::chrono::milliseconds duration{static_cast<int>(run.seconds * 1000)};
    const Placement cpus = run.pinned ? spread_cpus() : Placement{};
    const std::string prefix = (run.transport == "auto" ? "shm" : run.transport) + " ";
    const std::string suffix = " " + std::string{name_of(run.idle)};

    run.touch = Touch::none;
    report.add({"edge", prefix + "untouched" + suffix, run.size_bytes, edge_rate(run).messages_per_s, "tickets/s",
                ticket_rate(duration, cpus)});
    run.touch = Touch::fill_and_sum;
    report.add({"edge", prefix + "summed" + suffix, run.size_bytes, edge_rate(run).gigabytes_per_s, "GB/s",
                best_touched_rate(run.size_bytes, duration, cpus)});
    for (const Touch touch : {Touch::none, Touch::fill_and_sum}) {
        run.touch = touch;
        const Latency latency = edge_latency(run);
        const Latency limit =
            ring_latency({.size_bytes = run.size_bytes, .touch = touch, .duration = duration, .cpus = cpus});
        const std::string name = prefix + (touch == Touch::none ? "untouched" : "summed") + suffix + " one way";
        report.add({"edge", name, run.size_bytes, latency.p50_us, "us p50", limit.p50_us});
        report.add({"edge", name, run.size_bytes, latency.p99_us, "us p99", limit.p99_us});
    }
}

void measure_all(Report& report, EdgeRun run) {
    for (const Idle idle : {Idle::spin, Idle::adaptive}) {
        run.idle = idle;
        for (const std::size_t size : {64U, 1U << 10U, 4U << 10U, 64U << 10U, 1U << 20U, 16U << 20U, 64U << 20U}) {
            run.size_bytes = size;
            measure_size(report, run);
        }
    }
    run.idle = Idle::block;
    run.size_bytes = 64;
    run.touch = Touch::none;
    run.rest_between = true;
    const Latency asleep = edge_latency(run);
    report.add({"edge", "shm untouched asleep one way", 64, asleep.p50_us, "us p50", {}});
    report.add({"edge", "shm idle, CPU used while waiting", 0, idle_cpu(run), "s/s", {}});
    report.add({"edge", "memcpy of 16 MiB, cold", 16U << 20U, memcpy_rate({}), "GB/s", {}});
    report.add({"edge", "read of 16 MiB, cold", 16U << 20U, read_rate({}), "GB/s", {}});
}

void run(int argc, char** argv) {
    const std::string workload = take_option(argc, argv, "--workload");
    const std::string size = take_option(argc, argv, "--size", "64");
    Report report{take_option(argc, argv, "--json")};
    EdgeRun edge{.size_bytes = parse_size(size),
                 .idle = idle_of(take_option(argc, argv, "--idle", "spin")),
                 .transport = take_option(argc, argv, "--transport", "auto"),
                 .window = static_cast<std::uint32_t>(std::stoul(take_option(argc, argv, "--window", "0"))),
                 .seconds = std::stod(take_option(argc, argv, "--seconds", "0.3")),
                 .pinned = take_flag(argc, argv, "--pin")};
    if (argc > 1) throw std::runtime_error{"unknown argument '" + std::string{argv[1]} + "'"};
    if (!workload.empty()) return print_workload(workload, edge);
    measure_all(report, edge);
    report.finish();
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
    return penstock::bench::run_bench("bench_edge", argc, argv, penstock::bench::run);
}
