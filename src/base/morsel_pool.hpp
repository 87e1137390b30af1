#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <penstock/executor.hpp>

#include "base/thread_control.hpp"

namespace penstock {

/// Threads that share the pieces of a job: each has a range of them and takes from its front; who has nothing left
/// steals half of another's from its end. They sleep between jobs. The thread that hands out a job works on it too, and
/// waits only for those that have begun, so that a thread that gets no processor holds nobody up.
class MorselPool final : public Executor {
public:
    struct Options {
        int threads = 1;  ///< That of the caller counts.
        std::size_t morsel_bytes = 64U << 10U;
        double target_utilization = 0.8;
    };
    struct Counts {
        std::uint64_t pieces = 0;
        std::uint64_t steals = 0;
        int active = 1;  ///< Threads that a large job has now.
    };

    explicit MorselPool(Options options);
    ~MorselPool() override;
    MorselPool(const MorselPool&) = delete;
    MorselPool& operator=(const MorselPool&) = delete;

    [[nodiscard]] int threads() const noexcept override { return options_.threads; }
    [[nodiscard]] std::size_t morsel_bytes() const noexcept override { return options_.morsel_bytes; }
    /// Since the start; for the thread that hands out jobs.
    [[nodiscard]] Counts counts() const noexcept { return {pieces_, steals_, control_.active()}; }

private:
    /// The pieces that a thread has left, in one word, so that it and a thief agree who has which.
    struct alignas(64) Share {
        std::atomic<std::uint64_t> range{0};  ///< First in the upper half, end in the lower.
    };
    struct Done {
        std::uint64_t pieces = 0;
        std::uint64_t steals = 0;
        std::uint64_t busy_ns = 0;  ///< Of the processor.
    };

    void run(std::size_t count, const void* work, Piece call) override;
    void run_part(std::size_t first, std::uint32_t count);
    void start_threads();
    void serve(std::size_t self);
    [[nodiscard]] Done work_on(std::size_t self) noexcept;
    [[nodiscard]] bool take(std::size_t self, std::uint32_t& piece) noexcept;
    [[nodiscard]] bool steal(std::size_t self) noexcept;
    void add(const Done& done) noexcept;

    Options options_;
    ThreadControl control_;
    std::uint64_t pieces_ = 0;
    std::uint64_t steals_ = 0;
    std::unique_ptr<Share[]> shares_;

    std::mutex mutex_;
    std::condition_variable job_there_;
    std::condition_variable helper_gone_;
    // Under the mutex:
    std::size_t wanted_ = 0;  ///< Helpers that may still join the job.
    std::size_t inside_ = 0;  ///< Helpers at work on it.
    bool stopping_ = false;
    std::uint64_t busy_ns_ = 0;
    std::exception_ptr failure_;
    // Of the job; written while no helper is inside:
    const void* work_ = nullptr;
    Piece call_ = nullptr;
    std::size_t first_ = 0;
    std::size_t sharers_ = 0;
    std::atomic<bool> running_{false};
    std::atomic<bool> failed_{false};

    std::vector<std::thread> helpers_;  // last: they use the rest
};

/// What kernels called by this thread run on; null for a plain loop.
[[nodiscard]] Executor* executor_in_use() noexcept;

/// Lets kernels called by this thread run on an executor for as long as it lives.
class ExecutorScope {
public:
    explicit ExecutorScope(Executor* executor) noexcept;
    ~ExecutorScope();
    ExecutorScope(const ExecutorScope&) = delete;
    ExecutorScope& operator=(const ExecutorScope&) = delete;

private:
    Executor* before_;
};

}  // namespace penstock
