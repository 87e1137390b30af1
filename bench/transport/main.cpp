#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "edge/workloads.hpp"
#include "launch/mpi_world.hpp"
#include "limits/limits.hpp"
#include "limits/measure.hpp"
#include "transport/raw_mpi.hpp"

/// One channel between the two ranks of an MPI job, over one transport: what it moves, how long a payload takes, and
/// what that costs. Nobody touches the bytes, but they are all where the consumer can read them.
///
///   mpiexec -n 2 bench_transport --transport shm|mpi|ucx|ofi [--size BYTES] [--seconds S] [--idle spin|adaptive]
///                                [--json FILE]
///   mpiexec -n 2 bench_transport --raw mpi ...        the loops of OSU's benchmarks instead
///
/// Over `mpi` the limit is those loops, run in the same job.
namespace penstock::bench {
namespace {

struct Settings {
    EdgeRun edge;
    std::string raw;
    bool has_limit = false;
};

/// As many as a cache holds: the raw benchmarks use few buffers.
[[nodiscard]] std::uint32_t in_flight(std::size_t size_bytes) {
    return static_cast<std::uint32_t>(std::clamp<std::size_t>((4U << 20U) / size_bytes, 2, 1024));
}

[[nodiscard]] double cpu_seconds_of_all(Bootstrap& world) {
    double all = 0;
    for (const std::string& each : world.allgather(std::to_string(cpu_seconds()))) all += std::stod(each);
    return all;
}

void measure(Report& report, MpiWorld& world, const Settings& settings) {
    const EdgeRun& run = settings.edge;
    const std::string name = settings.raw.empty() ? run.transport : "raw " + settings.raw;
    std::optional<double> most;
    std::optional<Latency> least;
    if (settings.has_limit) {
        most = raw_mpi_bandwidth(run.size_bytes, run.seconds);
        least = raw_mpi_latency(run.size_bytes, run.seconds);
    }
    const double cpu_before = cpu_seconds_of_all(world);
    const std::int64_t start = now_ns();
    const double rate =
        settings.raw.empty() ? edge_rate(run).gigabytes_per_s : raw_mpi_bandwidth(run.size_bytes, run.seconds);
    const double cpu = (cpu_seconds_of_all(world) - cpu_before) / (static_cast<double>(now_ns() - start) * 1e-9);
    const Latency latency = settings.raw.empty() ? edge_latency(run) : raw_mpi_latency(run.size_bytes, run.seconds);
    const auto add = [&](const char* what, double value, const char* unit, std::optional<double> limit) {
        report.add({"transport", name + " " + what, run.size_bytes, value, unit, limit});
    };
    add("bandwidth", rate, "GB/s", most);
    add("cost", cpu / rate, "s/GB", {});
    add("one way", latency.p50_us, "us p50", least ? std::optional{least->p50_us} : std::nullopt);
    add("one way", latency.p99_us, "us p99", least ? std::optional{least->p99_us} : std::nullopt);
}

void run(int argc, char** argv) {
    const std::string size = take_option(argc, argv, "--size");
    const std::string idle = take_option(argc, argv, "--idle", "spin");
    const std::string json = take_option(argc, argv, "--json");
    Settings settings;
    settings.raw = take_option(argc, argv, "--raw");
    settings.edge = {.idle = idle == "spin" ? Idle::spin : Idle::adaptive,
                     .transport = take_option(argc, argv, "--transport", "mpi"),
                     .seconds = std::stod(take_option(argc, argv, "--seconds", "0.3")),
                     .asks_for_bytes = true};
    if (argc > 1) throw std::runtime_error{"unknown argument '" + std::string{argv[1]} + "'"};
    if (idle != "spin" && idle != "adaptive") throw std::runtime_error{"--idle is spin or adaptive"};
    if (!settings.raw.empty() && settings.raw != "mpi") throw std::runtime_error{"--raw is mpi"};
    if (!MpiWorld::detected()) throw std::runtime_error{"start it with: mpiexec -n 2 bench_transport"};
    settings.has_limit = settings.raw.empty() && settings.edge.transport == "mpi";

    MpiWorld world;
    if (world.size() != 2) throw std::runtime_error{"it needs two ranks, not " + std::to_string(world.size())};
    settings.edge.world = &world;
    Report report{json};
    const std::array<std::size_t, 9> all{8,           256,       4U << 10U,  16U << 10U, 64U << 10U,
                                         256U << 10U, 1U << 20U, 16U << 20U, 64U << 20U};
    for (const std::size_t each : all) {
        if (!size.empty() && each != all.front()) break;
        settings.edge.size_bytes = size.empty() ? each : parse_size(size);
        settings.edge.window = in_flight(settings.edge.size_bytes);
        measure(report, world, settings);
    }
    if (world.rank() == 0) report.finish();
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
    return penstock::bench::run_bench("bench_transport", argc, argv, penstock::bench::run);
}
