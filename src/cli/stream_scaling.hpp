#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace penstock::cli {

/// How payloads come from the generator to the workers. `standard` is called "default" on the command line.
enum class StreamMethod : std::uint8_t {
    standard,  ///< The payload goes through rank 0.
    proxy,     ///< The ticket goes through rank 0, the bytes from the generator to the worker.
    leased,    ///< Workers grant, and nothing goes through rank 0.
};

/// What a task does for its time.
enum class TaskKernel : std::uint8_t { sleep, compute };

/// The stream-scaling benchmark of ProxyStore (proxystore/benchmarks, docs/stream-scaling.md), one configuration.
struct StreamScaling {
    std::uint64_t data_size_bytes = 0;
    StreamMethod method = StreamMethod::leased;
    int max_workers = 0;  ///< One is the generator, the others work through tasks.
    std::uint64_t task_count = 0;
    std::chrono::nanoseconds task_sleep{0};
    TaskKernel kernel = TaskKernel::sleep;
    std::string runs_dir = {};

    [[nodiscard]] int compute_workers() const noexcept { return max_workers - 1; }
    /// Between two payloads: as often as all workers together end a task. REQUIRES: compute_workers() > 0.
    [[nodiscard]] std::chrono::nanoseconds interval() const noexcept { return task_sleep / compute_workers(); }
    /// Making new bytes for each payload would take longer than that, at 100 MB in 0.25 s.
    [[nodiscard]] bool pregenerates() const noexcept;
};

struct StreamScalingResult {
    std::uint64_t completed_tasks = 0;
    std::uint64_t start_ns = 0;  ///< Wall clock: the generator begins with the first payload.
    std::uint64_t end_ns = 0;    ///< Wall clock: the last task has ended.
    double dispatch_p50_us = 0;  ///< From the generator's emitting a payload to the start of its task.
    double dispatch_p99_us = 0;
    std::uint64_t rank0_bytes = 0;  ///< Of payloads, through the coordinator.
    double cpu_seconds = 0;         ///< Of all processes, with their start and end.

    [[nodiscard]] double seconds() const noexcept { return static_cast<double>(end_ns - start_ns) / 1e9; }
};

/// Runs it with processes of this node.
/// @throws Error{invalid_input} for fewer than two workers, and what the run ended with.
[[nodiscard]] StreamScalingResult run_stream_scaling(const StreamScaling& scaling);

}  // namespace penstock::cli
