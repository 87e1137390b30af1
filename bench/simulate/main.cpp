#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "limits/measure.hpp"
#include "simulate/model.hpp"

/// Dispatch to 10 to 10 000 workers, simulated.
///
///   bench_simulate [--network c5n|p4d|shm] [--task-ms MS] [--size BYTES] [--workers N] [--producers N] [--even]
///                  [--choice-ns NS] [--ticket-ns NS] [--json FILE]
namespace penstock::bench {
namespace {

[[nodiscard]] Network network_of(const std::string& name) {
    for (const Network& network : {c5n, p4d, shared_memory}) {
        if (network.name == name) return network;
    }
    throw std::runtime_error{"--network is one of c5n, p4d, shm"};
}

void run(int argc, char** argv) {
    Report report{take_option(argc, argv, "--json")};
    Simulation base{.network = network_of(take_option(argc, argv, "--network", "c5n")),
                    .payload_bytes = parse_size(take_option(argc, argv, "--size", "1000000")),
                    .task_ns = std::stod(take_option(argc, argv, "--task-ms", "10")) * 1e6,
                    .is_uneven = !take_flag(argc, argv, "--even")};
    const auto only_workers = static_cast<std::uint32_t>(std::stoul(take_option(argc, argv, "--workers", "0")));
    const auto producers = static_cast<std::uint32_t>(std::stoul(take_option(argc, argv, "--producers", "0")));
    const std::string choice_ns = take_option(argc, argv, "--choice-ns");
    const std::string ticket_ns = take_option(argc, argv, "--ticket-ns");
    base.costs = measured_costs();
    if (!choice_ns.empty()) base.costs.choice_ns = std::stod(choice_ns);
    if (!ticket_ns.empty()) base.costs.ticket_ns = std::stod(ticket_ns);
    if (argc > 1) throw std::runtime_error{"unknown argument '" + std::string{argv[1]} + "'"};

    std::printf(
        "network %s, %zu bytes, tasks of %g ms%s; rank 0: %.0f ns a frame of leases, %.1f ns to choose a "
        "consumer for each doubling of them, %.0f ns a ticket\n",
        std::string{base.network.name}.c_str(), static_cast<std::size_t>(base.payload_bytes), base.task_ns / 1e6,
        base.is_uneven ? " in the mean" : "", base.costs.frame_ns, base.costs.choice_ns, base.costs.ticket_ns);
    std::printf("%8s  %-8s %12s %8s %8s %8s %14s %12s\n", "workers", "method", "tasks/s", "of ideal", "rank 0", "idle",
                "rank 0 B/task", "frames/task");
    const std::vector<std::uint32_t> counts =
        only_workers > 0 ? std::vector{only_workers} : std::vector<std::uint32_t>{10, 30, 100, 300, 1000, 3000, 10'000};
    for (const std::uint32_t workers : counts) {
        for (const Way way : {Way::standard, Way::proxy, Way::leased}) {
            Simulation what = base;
            what.way = way;
            what.workers = workers;
            what.producers = producers > 0 ? producers : std::max(2U, workers / 8);
            const Simulated result = simulate(what);
            const std::string method{name_of(way)};
            std::printf("%8u  %-8s %12.1f %8.3f %8.3f %8.3f %14.0f %12.2f\n", workers, method.c_str(),
                        result.tasks_per_s, result.tasks_per_s / result.ideal_tasks_per_s, result.rank0_load,
                        result.idle, result.rank0_bytes_per_task, result.rank0_frames_per_task);
            const std::string scenario =
                std::string{base.network.name} + " " + method + " " + std::to_string(workers) + " workers";
            const auto size = static_cast<std::size_t>(base.payload_bytes);
            report.add({"simulate", scenario, size, result.tasks_per_s, "tasks/s", result.ideal_tasks_per_s});
            report.add({"simulate", scenario + ", rank 0 busy", size, result.rank0_load, "share", {}});
            report.add({"simulate", scenario + ", workers idle", size, result.idle, "share", {}});
        }
    }
    report.write_file();
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
    return penstock::bench::run_bench("bench_simulate", argc, argv, penstock::bench::run);
}
