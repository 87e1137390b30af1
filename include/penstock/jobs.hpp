#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/memory.hpp>
#include <penstock/operator.hpp>
#include <penstock/runner.hpp>

namespace penstock {

enum class JobState : std::uint8_t { pending, running, completed, failed, cancelled };
[[nodiscard]] std::string_view name_of(JobState state) noexcept;

/// What a job works on, and what it makes of it. A value.
struct JobData {
    DType dtype = DType::bytes;
    Shape shape = {};
    std::vector<std::byte> bytes = {};

    template <Wire T>
    [[nodiscard]] static JobData of(std::span<const T> elements) {
        const auto blob = std::as_bytes(elements);
        return {dtype_of<T>(), Shape{elements.size()}, {blob.begin(), blob.end()}};
    }
    /// @throws Error{invalid_input} if it holds elements of another type.
    template <Wire T>
    [[nodiscard]] std::span<const T> view() const {
        check_dtype(dtype_of<T>());
        return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
    }

private:
    void check_dtype(DType asked) const;
};

struct JobOptions {
    RunnerOptions runner = {};
    int workers = 0;                             ///< Processes; 0 means one for each core that may be used.
    int retries = 2;                             ///< How often a job is run again whose worker was lost.
    std::chrono::milliseconds longest{600'000};  ///< A job that takes longer has failed.
    std::size_t chunk_bytes = 1U << 20U;         ///< Of `process`, at most.
};

struct JobCounts {
    std::uint64_t pending = 0;
    std::uint64_t running = 0;
    std::uint64_t completed = 0;
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t requeued = 0;  ///< Times that a job was put back because its worker was lost.
};

/// A queue of jobs and the processes that work on it, all by themselves. Used by any number of threads.
///
/// A kernel is a processor of the registry, by its name, with default parameters; it answers each payload with one. No
/// code travels. When a worker dies, the workers are replaced and the jobs that were running are run again, one at a
/// time, so that one that kills its worker harms no other.
class Jobs {
public:
    /// @param kernels  What jobs can run.
    explicit Jobs(JobOptions options = {}, const Registry& kernels = Registry::with_builtins());
    /// Cancels what is pending and gives up what is running.
    ~Jobs();
    Jobs(const Jobs&) = delete;
    Jobs& operator=(const Jobs&) = delete;

    /// @param priority  Higher ones first; among equals those that came first.
    /// @return what the job is known by from now on.
    /// @throws Error{invalid_input} if there is no such kernel.
    std::uint64_t submit(std::string_view kernel, JobData data, int priority = 0);
    /// @throws Error{invalid_input} for a job that is not known, or whose result was taken.
    [[nodiscard]] JobState state(std::uint64_t job) const;
    /// Waits for the result and takes it: the job is forgotten.
    /// @throws Error{timed_out} if it is not there in time, Error{failed} if the job failed, with the reason and
    /// Error{disconnected} if it was cancelled. Only after the first is the job still known.
    [[nodiscard]] JobData result(std::uint64_t job, std::chrono::nanoseconds timeout);
    /// A running job is not interrupted, but its result is dropped. @return false if it had ended.
    bool cancel(std::uint64_t job);
    [[nodiscard]] JobCounts counts() const;

    /// Runs a kernel over a range in all workers at once: cut into chunks, gathered in order.
    /// The kernel maps elements one by one, and makes elements of type R.
    /// @throws Error{failed} if one of the chunks does.
    template <Wire R, Wire T>
    [[nodiscard]] std::vector<R> process(std::span<const T> range, std::string_view kernel) {
        std::vector<R> results(range.size());
        process_bytes(kernel, {dtype_of<T>(), std::as_bytes(range)},
                      {dtype_of<R>(), std::as_writable_bytes(std::span{results})});
        return results;
    }

private:
    struct Input {
        DType dtype;
        std::span<const std::byte> bytes;
    };
    struct Result {
        DType dtype;
        std::span<std::byte> bytes;
    };
    void process_bytes(std::string_view kernel, Input range, Result results);

    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock
