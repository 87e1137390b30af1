#include "cli/stream_scaling.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include <nlohmann/json.hpp>
#include <sys/mman.h>
#include <sys/resource.h>

#include <penstock/error.hpp>
#include <penstock/operator.hpp>
#include <penstock/runtime.hpp>
#include <penstock/spec.hpp>

#include "base/clock.hpp"

namespace penstock::cli {
namespace {

constexpr std::uint64_t queued_bytes = 16U << 20U;  // at a worker
constexpr auto warm_up_takes_at_most = std::chrono::seconds{30};

struct TaskTimes {
    std::uint64_t dispatch_ns;
    std::uint64_t end_ns;
};

/// What the processes of a run write down, in memory that they share.
class Records {
public:
    explicit Records(std::uint64_t tasks) : tasks_{tasks}, bytes_{sizeof(Head) + tasks * sizeof(TaskTimes)} {
        memory_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) {
            throw Error{Errc::exhausted, "no memory for the times of " + std::to_string(tasks) + " tasks; use fewer"};
        }
        head_ = new (memory_) Head;
        times_ = reinterpret_cast<TaskTimes*>(static_cast<std::byte*>(memory_) + sizeof(Head));
    }
    ~Records() { ::munmap(memory_, bytes_); }
    Records(const Records&) = delete;
    Records& operator=(const Records&) = delete;

    void start(std::uint64_t now_ns) noexcept { head_->start_ns = now_ns; }
    void add(const TaskTimes& times) noexcept {
        const std::uint64_t index = head_->completed.fetch_add(1, std::memory_order_relaxed);
        if (index < tasks_) times_[index] = times;
    }
    [[nodiscard]] std::uint64_t start_ns() const noexcept { return head_->start_ns; }
    [[nodiscard]] std::uint64_t completed() const noexcept { return head_->completed; }
    [[nodiscard]] std::vector<TaskTimes> times() const {
        return {times_, times_ + std::min<std::uint64_t>(completed(), tasks_)};
    }

private:
    struct Head {
        std::atomic<std::uint64_t> completed{0};
        std::atomic<std::uint64_t> start_ns{0};
    };

    std::uint64_t tasks_;
    std::size_t bytes_;
    void* memory_ = nullptr;
    Head* head_ = nullptr;
    TaskTimes* times_ = nullptr;
};

/// Fast and not compressible (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
void fill_with_noise(std::span<std::byte> bytes, std::uint64_t& state) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
        std::uint64_t value = state += 0x9e3779b97f4a7c15U;
        value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
        value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
        value ^= value >> 31U;
        std::memcpy(bytes.data() + at, &value, std::min(sizeof value, bytes.size() - at));
    }
}

class Generator final : public Source {
public:
    Generator(const StreamScaling& scaling, Records& records, StageContext& context)
        : scaling_{scaling}, records_{records}, context_{context} {
        if (!scaling.pregenerates()) return;
        ready_made_.resize(scaling.data_size_bytes);
        fill_with_noise(ready_made_, noise_);
    }

    bool produce(Output& out) override {
        if (sent_ == scaling_.task_count) return false;
        if (sent_ == 0) warm_up(out);
        // Late is late: the next interval begins when this payload does.
        const auto next = SteadyClock::now() + scaling_.interval();
        auto draft = out.draft<std::byte>(scaling_.data_size_bytes);
        if (ready_made_.empty()) {
            fill_with_noise(draft.bytes(), noise_);
        } else {
            std::memcpy(draft.bytes().data(), ready_made_.data(), ready_made_.size());
        }
        out.emit(std::move(draft));
        ++sent_;
        if (scaling_.interval().count() > 0 && sent_ < scaling_.task_count) context_.wait_until(next);
        return true;
    }

private:
    /// One task that does nothing, and the clock starts.
    void warm_up(Output& out) {
        out.emit(out.draft<std::byte>(0));
        const auto give_up = SteadyClock::now() + warm_up_takes_at_most;
        while (context_.output_totals().settled == 0) {
            if (!context_.wait_until(SteadyClock::now() + std::chrono::milliseconds{1})) break;
            if (SteadyClock::now() > give_up) {
                throw Error{Errc::timed_out, "the task of the warm-up did not end within 30 s"};
            }
        }
        records_.start(wall_ns());
    }

    const StreamScaling& scaling_;
    Records& records_;
    StageContext& context_;
    std::uint64_t noise_ = 1;
    std::vector<std::byte> ready_made_;
    std::uint64_t sent_ = 0;
};

class Worker final : public Sink {
public:
    Worker(const StreamScaling& scaling, Records& records, StageContext& context)
        : scaling_{scaling}, records_{records}, context_{context} {}

    void consume(const Payload& in) override {
        const std::uint64_t now = wall_ns();
        const auto bytes = in.bytes();
        if (bytes.empty()) return;  // the warm-up
        const auto until = SteadyClock::now() + scaling_.task_sleep;
        // Resolving has to bring the bytes here, and a pointer to them does not.
        sum_ += sum_of(bytes);
        if (scaling_.kernel == TaskKernel::compute) {
            while (SteadyClock::now() < until) sum_ += sum_of(bytes);
        } else if (scaling_.task_sleep.count() > 0) {
            context_.wait_until(until);
        }
        const std::uint64_t emitted = in.source_time_ns();
        records_.add({.dispatch_ns = now > emitted ? now - emitted : 0, .end_ns = wall_ns()});
    }
    void finish() override { context_.count("sum_of_words", sum_ & 0xFFFFU); }

private:
    [[nodiscard]] static std::uint64_t sum_of(std::span<const std::byte> bytes) noexcept {
        std::uint64_t sum = 0;
        std::size_t at = 0;
        for (; at + sizeof sum <= bytes.size(); at += sizeof sum) {
            std::uint64_t word = 0;
            std::memcpy(&word, bytes.data() + at, sizeof word);
            sum += word;
        }
        for (; at < bytes.size(); ++at) sum += static_cast<std::uint64_t>(bytes[at]);
        return sum;
    }

    const StreamScaling& scaling_;
    Records& records_;
    StageContext& context_;
    std::uint64_t sum_ = 0;
};

[[nodiscard]] double cpu_seconds() {
    double seconds = 0;
    for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
        rusage usage{};
        ::getrusage(who, &usage);
        for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
            seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
        }
    }
    return seconds;
}

[[nodiscard]] PipelineSpec pipeline_of(const StreamScaling& scaling) {
    const bool through_rank0 = scaling.method != StreamMethod::leased;
    // As many tasks as workers are under way, as in the original; no-op tasks are to show how fast work is handed out.
    const std::uint64_t many = std::clamp<std::uint64_t>(queued_bytes / scaling.data_size_bytes, 1, 64);
    return PipelineBuilder{"stream-scaling"}
        .stage({.name = "generator", .operator_name = "generator"})
        .stage({.name = "workers", .operator_name = "worker", .instances = scaling.compute_workers()})
        .channel({.from = "generator",
                  .to = "workers",
                  .capacity = scaling.task_sleep.count() > 0 ? 1U : static_cast<std::uint32_t>(many),
                  .capacity_bytes = std::uint64_t{1} << 40U,
                  .dispatch = through_rank0 ? Dispatch::central : Dispatch::leased,
                  .by = scaling.method == StreamMethod::standard ? PassBy::value : PassBy::reference})
        .build();
}

[[nodiscard]] double percentile_us(const std::vector<TaskTimes>& sorted, double share) {
    if (sorted.empty()) return 0;
    const auto index = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
    return static_cast<double>(sorted[index].dispatch_ns) / 1e3;
}

}  // namespace

bool StreamScaling::pregenerates() const noexcept {
    constexpr double bytes_per_second = 100e6 / 0.25;
    const std::chrono::duration<double> available = interval();
    return static_cast<double>(data_size_bytes) / bytes_per_second > available.count();
}

StreamScalingResult run_stream_scaling(const StreamScaling& scaling) {
    if (scaling.max_workers < 2) {
        throw Error{Errc::invalid_input, "--max-workers " + std::to_string(scaling.max_workers) +
                                             " leaves nobody to work: one worker generates; use 2 or more"};
    }
    Records records{scaling.task_count};
    const std::uint64_t payloads = 2 * static_cast<std::uint64_t>(scaling.max_workers) + 4;
    const double cpu_before = cpu_seconds();
    Runtime runtime{
        RunOptions{.launch = Launch::local,
                   .runs_dir = scaling.runs_dir,
                   .arena_bytes = std::max<std::uint64_t>(256U << 20U, payloads * (scaling.data_size_bytes + 4096)),
                   .log_level = LogLevel::warn,
                   .progress = false}};
    runtime.registry().add({.name = "generator", .kind = OperatorKind::source, .help = "Makes payloads at a pace."},
                           [&](const Params&, StageContext& context) -> Operator {
                               return std::make_unique<Generator>(scaling, records, context);
                           });
    runtime.registry().add({.name = "worker", .kind = OperatorKind::sink, .help = "A task for each payload."},
                           [&](const Params&, StageContext& context) -> Operator {
                               return std::make_unique<Worker>(scaling, records, context);
                           });
    const RunResult run = runtime.run(pipeline_of(scaling));
    if (run.exit_code != 0) throw Error{Errc::disconnected, run.error};

    std::vector<TaskTimes> times = records.times();
    StreamScalingResult result{.completed_tasks = records.completed(), .start_ns = records.start_ns()};
    for (const TaskTimes& task : times) result.end_ns = std::max(result.end_ns, task.end_ns);
    result.end_ns = std::max(result.end_ns, result.start_ns);
    std::sort(times.begin(), times.end(),
              [](const TaskTimes& a, const TaskTimes& b) { return a.dispatch_ns < b.dispatch_ns; });
    result.dispatch_p50_us = percentile_us(times, 0.5);
    result.dispatch_p99_us = percentile_us(times, 0.99);
    const auto report = nlohmann::json::parse(run.report);
    result.rank0_bytes = report.at("channels").at(0).value("rank0_bytes", std::uint64_t{0});
    result.cpu_seconds = cpu_seconds() - cpu_before;
    return result;
}

}  // namespace penstock::cli
