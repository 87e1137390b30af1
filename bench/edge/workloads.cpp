#include "edge/workloads.hpp"

#include <algorithm>
#include <thread>
#include <vector>

#include <sys/resource.h>

namespace penstock::bench {
namespace {

/// Of the clock, which must not show in small payloads, and must not come late for large ones.
[[nodiscard]] std::size_t payloads_between_reads(std::size_t size_bytes) noexcept {
    return size_bytes < (1U << 20U) ? 16 : 1;
}

[[nodiscard]] Party::Options options_of(const EdgeRun& run) {
    const std::uint32_t window = run.window != 0 ? run.window : edge_window(run.size_bytes, run.touch);
    return {.idle = run.idle,
            .capacity = window,
            .arena_bytes = std::max<std::uint64_t>(64U << 20U, (window + 4) * run.size_bytes + (8U << 20U)),
            .transport = run.transport,
            .world = run.world};
}

[[nodiscard]] std::optional<std::pair<int, int>> cpus_of(const EdgeRun& run) {
    if (!run.pinned) return std::nullopt;
    const Placement cpus = spread_cpus();
    if (!cpus.producer || !cpus.consumer) return std::nullopt;
    return std::pair{*cpus.producer, *cpus.consumer};
}

[[nodiscard]] PayloadBody* make(Party& party, const EdgeRun& run, std::uint64_t sequence) {
    PayloadBody* body = party.draft(run.size_bytes);
    if (run.touch == Touch::fill_and_sum) fill(Party::bytes_of(body), sequence);
    return body;
}

void use(const Payload& payload, const EdgeRun& run, std::uint64_t sequence) {
    if (run.asks_for_bytes) static_cast<void>(payload.bytes());
    if (run.touch == Touch::fill_and_sum) check_filled(payload.bytes(), sequence);
}

}  // namespace

std::uint32_t edge_window(std::size_t size_bytes, Touch touch) noexcept {
    if (touch == Touch::none) return 1024;
    return static_cast<std::uint32_t>(
        std::clamp<std::size_t>((4U << 20U) / std::max<std::size_t>(size_bytes, 1), 1, 1024));
}

double cpu_seconds() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

Rate edge_rate(const EdgeRun& run) {
    Rate rate;
    const auto produce = [&](Party& party) {
        SteadyRate steady{run.seconds};
        const std::size_t batch = payloads_between_reads(run.size_bytes);
        std::uint64_t count = 0;
        do {
            for (std::size_t i = 0; i < batch; ++i) party.publish(make(party, run, count++));
            party.reactor().poll();
        } while (!steady.is_over(count));
        party.finish();
        rate.messages_per_s = steady.per_second();
        rate.gigabytes_per_s = rate.messages_per_s * static_cast<double>(run.size_bytes) * 1e-9;
    };
    const auto consume = [&](Party& party) {
        std::uint64_t count = 0;
        while (Payload payload = party.receive()) {
            use(payload, run, count++);
            party.done(std::move(payload));
        }
        party.finish();
    };
    run_pair(options_of(run), cpus_of(run), produce, consume);
    return rate;
}

Latency edge_latency(const EdgeRun& run) {
    std::vector<double> half_us;
    const auto ask = [&](Party& party) {
        const std::int64_t begin = now_ns();
        const auto duration = static_cast<std::int64_t>(run.seconds * 1e9);
        const std::int64_t warm = begin + duration / 10;
        std::int64_t start = begin;
        for (std::uint64_t count = 0; start - begin < duration; ++count) {
            if (run.rest_between) std::this_thread::sleep_for(std::chrono::milliseconds{1});
            start = now_ns();
            party.publish(make(party, run, count));
            Payload answer = party.receive();
            use(answer, run, count);
            if (start > warm) half_us.push_back(static_cast<double>(now_ns() - start) * 0.5e-3);
            party.done(std::move(answer));
        }
        party.finish();
    };
    const auto answer = [&](Party& party) {
        std::uint64_t count = 0;
        while (Payload payload = party.receive()) {
            use(payload, run, count);
            party.publish(make(party, run, count++));
            party.done(std::move(payload));
        }
        party.finish();
    };
    EdgeRun shallow = run;
    shallow.window = 4;
    run_pair(options_of(shallow), cpus_of(run), ask, answer);
    return {percentile(half_us, 50), percentile(half_us, 99)};
}

double idle_cpu(const EdgeRun& run) {
    double asking = 0;
    const auto wait_a_second = [&](Party& party) {
        const double before = cpu_seconds();
        const std::int64_t start = now_ns();
        while (now_ns() - start < 1'000'000'000) party.reactor().wait(Activity::waiting_for_input, 0);
        asking = cpu_seconds() - before;
        party.finish();
    };
    const auto finish = [](Party& party) { party.finish(); };
    run_pair(options_of(run), cpus_of(run), wait_a_second, finish);
    return asking;
}

}  // namespace penstock::bench
