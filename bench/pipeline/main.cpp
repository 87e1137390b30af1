#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>

#include <sys/mman.h>

#include <penstock/penstock.hpp>

#include "edge/workloads.hpp"
#include "limits/limits.hpp"
#include "limits/measure.hpp"

/// Whole pipelines, started as a user starts them, next to what the machine can do.
///
///   bench_pipeline [--seconds S] [--pin] [--json FILE]                       every case, with limits
///   bench_pipeline --workload W3 --size BYTES [--seconds S] [--pin] [--idle spin|adaptive|block] [--window N]
namespace penstock::bench {
namespace {

/// What the source measured, in memory that outlives its process.
struct Measured {
    std::atomic<double> messages_per_s{0};
};

struct Settings {
    std::size_t size_bytes = 1024;
    double seconds = 1;
    bool pinned = false;
    Idle idle = Idle::adaptive;
    std::uint32_t window = 0;
    Measured* measured = nullptr;
};

/// Fills payloads for a fixed time after a warm-up.
class Filler final : public Source {
public:
    explicit Filler(const Settings& settings) : settings_{settings} {
        if (settings_.pinned) pin_to(spread_cpus().producer.value_or(0));
    }
    bool produce(Output& out) override {
        if (!steady_) steady_.emplace(settings_.seconds);
        for (int i = 0; i < 16; ++i) {
            auto draft = out.draft<std::byte>(settings_.size_bytes);
            fill(draft.bytes(), count_++);
            out.emit(std::move(draft));
        }
        const bool over = steady_->is_over(count_);
        settings_.measured->messages_per_s = steady_->per_second();
        return !over;
    }

private:
    const Settings& settings_;
    std::uint64_t count_ = 0;
    std::optional<SteadyRate> steady_;
};

/// Sums payloads; each processor sees some of them, in order.
class Summer final : public Sink {
public:
    Summer(const Settings& settings, int instance) {
        const Placement cpus = spread_cpus();
        if (settings.pinned) pin_to((instance == 0 ? cpus.consumer : cpus.second_consumer).value_or(0));
    }
    void consume(const Payload& in) override {
        const auto blob = in.bytes();
        const std::uint64_t sequence = sequence_of(blob);
        if (seen_ && sequence <= last_) throw std::runtime_error{"a payload out of order"};
        check_filled(blob, sequence);
        last_ = sequence;
        seen_ = true;
    }

private:
    std::uint64_t last_ = 0;
    bool seen_ = false;
};

[[nodiscard]] double shared_work(Settings settings) {
    void* memory = mmap(nullptr, sizeof(Measured), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error{"no shared memory for the result"};
    settings.measured = new (memory) Measured;
    const std::uint32_t window =
        settings.window != 0 ? settings.window : edge_window(settings.size_bytes, Touch::fill_and_sum);

    char runs[] = "/tmp/penstock-bench-XXXXXX";
    if (mkdtemp(runs) == nullptr) throw std::runtime_error{"no temporary folder"};
    Runtime runtime{
        RunOptions{.idle = settings.idle,
                   .runs_dir = runs,
                   .arena_bytes = std::max<std::uint64_t>(64U << 20U, (2 * window + 8) * settings.size_bytes),
                   .log_level = LogLevel::error,
                   .progress = false}};
    runtime.registry().add(
        {.name = "filler", .kind = OperatorKind::source, .help = "Fills payloads."},
        [&](const Params&, StageContext&) -> Operator { return std::make_unique<Filler>(settings); });
    runtime.registry().add({.name = "summer", .kind = OperatorKind::sink, .help = "Sums payloads."},
                           [&](const Params&, StageContext& context) -> Operator {
                               return std::make_unique<Summer>(settings, context.instance());
                           });
    const RunResult result = runtime.try_run(
        PipelineBuilder{"w3"}
            .stage({.name = "producer", .operator_name = "filler"})
            .stage({.name = "processor", .operator_name = "summer", .instances = 2})
            .channel(
                {.from = "producer", .to = "processor", .capacity = window, .capacity_bytes = std::uint64_t{1} << 40U})
            .build());
    const double value = settings.measured->messages_per_s;
    munmap(memory, sizeof(Measured));
    std::filesystem::remove_all(runs);
    if (result.exit_code != 0) throw std::runtime_error{result.error};
    return value;
}

void run(int argc, char** argv) {
    const std::string workload = take_option(argc, argv, "--workload");
    const std::string size = take_option(argc, argv, "--size", "1024");
    const std::string idle = take_option(argc, argv, "--idle", "adaptive");
    Report report{take_option(argc, argv, "--json")};
    Settings settings{.size_bytes = parse_size(size),
                      .seconds = std::stod(take_option(argc, argv, "--seconds", "0.5")),
                      .pinned = take_flag(argc, argv, "--pin"),
                      .idle = idle == "spin"    ? Idle::spin
                              : idle == "block" ? Idle::block
                                                : Idle::adaptive,
                      .window = static_cast<std::uint32_t>(std::stoul(take_option(argc, argv, "--window", "0")))};
    if (argc > 1) throw std::runtime_error{"unknown argument '" + std::string{argv[1]} + "'"};
    if (!workload.empty() && workload != "W3")
        throw std::runtime_error{"--workload is W3; the others are bench_edge's"};
    if (!workload.empty()) {
        const Row row{"penstock", "W3", settings.size_bytes, shared_work(settings), "msg/s", {}};
        std::printf("%s\n", to_json(row).c_str());
        return;
    }
    const Placement cpus = settings.pinned ? spread_cpus() : Placement{};
    const std::chrono::milliseconds duration{static_cast<int>(settings.seconds * 1000)};
    for (const std::size_t bytes : {1U << 10U, 64U << 10U, 1U << 20U, 16U << 20U}) {
        settings.size_bytes = bytes;
        report.add(
            {"pipeline", "W3 " + idle, bytes, shared_work(settings), "msg/s", shared_rate(bytes, duration, cpus)});
    }
    report.finish();
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
    return penstock::bench::run_bench("bench_pipeline", argc, argv, penstock::bench::run);
}
