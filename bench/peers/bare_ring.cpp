#include <cstdio>
#include <exception>

#include "limits/limits.hpp"
#include "limits/measure.hpp"
#include "peers/harness.hpp"

using namespace penstock::bench;

namespace {

[[nodiscard]] double touched(const Options& options, std::chrono::milliseconds duration, const Placement& cpus) {
    if (options.window == 0) return best_touched_rate(options.size_bytes, duration, cpus);
    return touched_rate(options.size_bytes, duration, cpus, slots(options));
}

[[nodiscard]] double shared(const Options& options, std::chrono::milliseconds duration, const Placement& cpus) {
    if (options.window == 0) return shared_rate(options.size_bytes, duration, cpus);
    const RingRun run{.size_bytes = options.size_bytes,
                      .slots = slots(options),
                      .touch = Touch::fill_and_sum,
                      .consumers = 2,
                      .duration = duration,
                      .cpus = cpus};
    return ring_rate(run).messages_per_s;
}

[[nodiscard]] std::vector<Row> measure(const Options& options) {
    const std::chrono::milliseconds duration{static_cast<int>(options.seconds * 1000)};
    const Placement cpus = options.is_pinned ? spread_cpus() : Placement{};
    const auto row = [&](double value, const char* unit) {
        return Row{"bare-ring", options.workload, options.size_bytes, value, unit, {}};
    };
    if (options.workload == "W1a") return {row(ticket_rate(duration, cpus), "msg/s")};  // at any size: by handle
    if (options.workload == "W1b") return {row(touched(options, duration, cpus), "GB/s")};
    if (options.workload == "W3") return {row(shared(options, duration, cpus), "msg/s")};
    const RingRun run{
        .size_bytes = options.size_bytes, .touch = Touch::fill_and_sum, .duration = duration, .cpus = cpus};
    const Latency latency = ring_latency(run);
    return {row(latency.p50_us, "us p50"), row(latency.p99_us, "us p99")};
}

}  // namespace

int main(int argc, char** argv) {
    try {
        for (const Row& row : measure(parse_options(argc, argv))) std::printf("%s\n", to_json(row).c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bare-ring: %s\n", error.what());
        return 1;
    }
}
