#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/mman.h>

#include <penstock/penstock.hpp>

#include "limits/limits.hpp"
#include "limits/measure.hpp"

/// How many payloads a second find their worker when the work is nothing: the cost of the decision alone.
///
///   bench_dispatch [--mode MODE] [--workers N] [--producers N] [--size BYTES] [--capacity N] [--seconds S] [--json
///   FILE]
///
/// Modes: direct, leased, central (by reference) and broker (central, by value). Without --workers: 2, 8 and 64.
namespace penstock::bench {
namespace {

constexpr int most_producers = 16;

/// What the producers measured, in memory that outlives their processes.
struct Measured {
    std::array<std::atomic<double>, most_producers> per_second{};
};

struct Settings {
    std::string mode = "leased";
    int workers = 2;
    int producers = 2;
    std::size_t size_bytes = 8;
    std::uint32_t capacity = 256;
    double seconds = 0.5;
    Measured* measured = nullptr;
};

class Giver final : public Source {
public:
    Giver(const Settings& settings, int instance) : settings_{settings}, instance_{instance} {}
    bool produce(Output& out) override {
        if (!steady_) steady_.emplace(settings_.seconds);
        for (int i = 0; i < 64; ++i) out.emit(out.draft<std::byte>(settings_.size_bytes));
        count_ += 64;
        const bool over = steady_->is_over(count_);
        settings_.measured->per_second.at(static_cast<std::size_t>(instance_)) = steady_->per_second();
        return !over;
    }

private:
    const Settings& settings_;
    int instance_;
    std::uint64_t count_ = 0;
    std::optional<SteadyRate> steady_;
};

class Nothing final : public Sink {
public:
    void consume(const Payload&) override {}
};

/// Payloads a second, all producers together.
[[nodiscard]] double dispatch_rate(Settings settings) {
    void* memory = mmap(nullptr, sizeof(Measured), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error{"no shared memory for the result"};
    settings.measured = new (memory) Measured;
    char runs[] = "/tmp/penstock-bench-XXXXXX";
    if (mkdtemp(runs) == nullptr) throw std::runtime_error{"no temporary folder"};
    Runtime runtime{
        RunOptions{.runs_dir = runs, .arena_bytes = 64U << 20U, .log_level = LogLevel::error, .progress = false}};
    runtime.registry().add({.name = "giver", .kind = OperatorKind::source, .help = "Emits."},
                           [&](const Params&, StageContext& context) -> Operator {
                               return std::make_unique<Giver>(settings, context.instance());
                           });
    runtime.registry().add({.name = "nothing", .kind = OperatorKind::sink, .help = "Does nothing."},
                           [](const Params&, StageContext&) -> Operator { return std::make_unique<Nothing>(); });
    ChannelSpec channel{.from = "giver", .to = "worker", .capacity = settings.capacity};
    if (settings.mode == "direct") channel.dispatch = Dispatch::direct;
    if (settings.mode == "leased") channel.dispatch = Dispatch::leased;
    if (settings.mode == "central" || settings.mode == "broker") channel.dispatch = Dispatch::central;
    if (settings.mode == "broker") channel.by = PassBy::value;
    const RunResult result =
        runtime.try_run(PipelineBuilder{"dispatch"}
                            .stage({.name = "giver", .operator_name = "giver", .instances = settings.producers})
                            .stage({.name = "worker", .operator_name = "nothing", .instances = settings.workers})
                            .channel(channel)
                            .build());
    double rate = 0;
    for (const auto& each : settings.measured->per_second) rate += each;
    munmap(memory, sizeof(Measured));
    std::filesystem::remove_all(runs);
    if (result.exit_code != 0) throw std::runtime_error{result.error};
    return rate;
}

void run(int argc, char** argv) {
    const std::string mode = take_option(argc, argv, "--mode");
    const std::string workers = take_option(argc, argv, "--workers");
    const std::string size = take_option(argc, argv, "--size", "8");
    Report report{take_option(argc, argv, "--json")};
    Settings settings;
    settings.producers = std::stoi(take_option(argc, argv, "--producers", "2"));
    settings.size_bytes = parse_size(size);
    settings.capacity = static_cast<std::uint32_t>(std::stoul(take_option(argc, argv, "--capacity", "256")));
    settings.seconds = std::stod(take_option(argc, argv, "--seconds", "0.5"));
    if (argc > 1) throw std::runtime_error{"unknown argument '" + std::string{argv[1]} + "'"};
    if (settings.producers < 1 || settings.producers > most_producers)
        throw std::runtime_error{"--producers is 1 to " + std::to_string(most_producers)};
    const std::vector<std::string> modes = mode.empty()
                                               ? std::vector<std::string>{"direct", "leased", "central", "broker"}
                                               : std::vector<std::string>{mode};
    const std::vector<int> counts = workers.empty() ? std::vector<int>{2, 8, 64} : std::vector<int>{std::stoi(workers)};
    const double limit = ticket_rate(std::chrono::milliseconds{static_cast<int>(settings.seconds * 1000)}, {});
    for (const int count : counts) {
        for (const std::string& each : modes) {
            if (each != "direct" && each != "leased" && each != "central" && each != "broker")
                throw std::runtime_error{"--mode is direct, leased, central or broker, not '" + each + "'"};
            settings.mode = each;
            settings.workers = count;
            const double rate = dispatch_rate(settings);
            const std::string name = each + " " + std::to_string(count) + " workers";
            report.add({"dispatch", name, settings.size_bytes, rate, "msg/s", limit});
            report.add({"dispatch", name, settings.size_bytes, 1e9 / rate, "ns", 1e9 / limit});
        }
    }
    report.finish();
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
    return penstock::bench::run_bench("bench_dispatch", argc, argv, penstock::bench::run);
}
