#include "base/morsel_pool.hpp"

#include <algorithm>
#include <ctime>
#include <limits>
#include <string>
#include <system_error>
#include <utility>

#include <pthread.h>
#include <signal.h>

#include <penstock/error.hpp>

#include "base/clock.hpp"

namespace penstock {
namespace {

thread_local Executor* executor_of_thread = nullptr;

constexpr std::uint64_t range_of(std::uint32_t first, std::uint32_t end) noexcept {
    return std::uint64_t{first} << 32U | end;
}
constexpr std::uint32_t first_of(std::uint64_t range) noexcept {
    return static_cast<std::uint32_t>(range >> 32U);
}
constexpr std::uint32_t end_of(std::uint64_t range) noexcept {
    return static_cast<std::uint32_t>(range);
}

/// What this thread has had of a processor: a thread that is ready but not running is not busy.
[[nodiscard]] std::uint64_t thread_cpu_ns() noexcept {
    timespec used{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return static_cast<std::uint64_t>(used.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(used.tv_nsec);
}

/// Threads started meanwhile get no signals: those are for the thread that runs the instance.
class SignalsHeldBack {
public:
    SignalsHeldBack() noexcept {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsHeldBack() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsHeldBack(const SignalsHeldBack&) = delete;
    SignalsHeldBack& operator=(const SignalsHeldBack&) = delete;

private:
    sigset_t before_{};
};

}  // namespace

Executor* executor_in_use() noexcept {
    return executor_of_thread;
}

ExecutorScope::ExecutorScope(Executor* executor) noexcept : before_{std::exchange(executor_of_thread, executor)} {}

ExecutorScope::~ExecutorScope() {
    executor_of_thread = before_;
}

MorselPool::MorselPool(Options options)
    : options_{options},
      control_{options.threads, options.target_utilization},
      shares_{std::make_unique<Share[]>(static_cast<std::size_t>(options.threads))} {}

MorselPool::~MorselPool() {
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    job_there_.notify_all();
    for (std::thread& helper : helpers_) helper.join();
}

/// At the first job that has use for them.
void MorselPool::start_threads() {
    const SignalsHeldBack held_back;
    const auto all = static_cast<std::size_t>(options_.threads) - 1;
    helpers_.reserve(all);
    try {
        while (helpers_.size() < all) helpers_.emplace_back([this, self = helpers_.size() + 1] { serve(self); });
    } catch (const std::system_error& error) {
        throw Error{Errc::exhausted, "cannot start " + std::to_string(options_.threads) + " threads: " + error.what() +
                                         "; lower \"threads\" of the stage"};
    }
}

void MorselPool::run(std::size_t count, const void* work, Piece call) {
    if (count == 0) return;
    if (count == 1 || control_.active() == 1 || running_.load(std::memory_order_relaxed)) {
        for (std::size_t piece = 0; piece < count; ++piece) call(work, piece);
        if (running_.load(std::memory_order_relaxed)) return;  // within a piece of another job
        pieces_ += count;
        // Alone it is always busy: after a while it tries with more.
        if (count > 1) control_.job_done(1);
        return;
    }
    if (helpers_.empty()) start_threads();
    work_ = work;
    call_ = call;
    constexpr std::size_t largest_part = std::numeric_limits<std::uint32_t>::max() / 2;
    for (std::size_t first = 0; first < count; first += largest_part) {
        run_part(first, static_cast<std::uint32_t>(std::min(count - first, largest_part)));
    }
}

void MorselPool::run_part(std::size_t first, std::uint32_t count) {
    first_ = first;
    sharers_ = std::min<std::size_t>(static_cast<std::size_t>(control_.active()), count);
    for (std::size_t i = 0; i < sharers_; ++i) {
        const auto begin = static_cast<std::uint32_t>(std::uint64_t{count} * i / sharers_);
        const auto end = static_cast<std::uint32_t>(std::uint64_t{count} * (i + 1) / sharers_);
        shares_[i].range.store(range_of(begin, end), std::memory_order_relaxed);
    }
    running_.store(true, std::memory_order_relaxed);
    {
        const std::lock_guard lock{mutex_};
        wanted_ = sharers_ - 1;
        busy_ns_ = 0;
    }
    job_there_.notify_all();
    const auto begin = SteadyClock::now();
    const Done mine = work_on(0);
    std::exception_ptr failure;
    {
        std::unique_lock lock{mutex_};
        wanted_ = 0;
        helper_gone_.wait(lock, [this] { return inside_ == 0; });
        add(mine);
        failure = std::exchange(failure_, nullptr);
    }
    running_.store(false, std::memory_order_relaxed);
    failed_.store(false, std::memory_order_relaxed);
    if (failure) std::rethrow_exception(failure);
    if (sharers_ != static_cast<std::size_t>(control_.active())) return;
    const double whole = std::chrono::duration<double, std::nano>(SteadyClock::now() - begin).count();
    const double there = std::max(whole, 1.0) * static_cast<double>(sharers_);
    control_.job_done(std::min(static_cast<double>(busy_ns_) / there, 1.0));
}

void MorselPool::serve(std::size_t self) {
    std::unique_lock lock{mutex_};
    for (;;) {
        // Those with the highest numbers are left out when fewer are wanted: they have no share of their own.
        job_there_.wait(lock, [&] { return stopping_ || (wanted_ > 0 && self < sharers_); });
        if (stopping_) return;
        --wanted_;
        ++inside_;
        lock.unlock();
        const Done done = work_on(self);
        lock.lock();
        add(done);
        // Nothing was left to take: whoever has not joined yet need not.
        wanted_ = 0;
        if (--inside_ == 0) helper_gone_.notify_one();
    }
}

MorselPool::Done MorselPool::work_on(std::size_t self) noexcept {
    Done done;
    const std::uint64_t begin = thread_cpu_ns();
    std::uint32_t piece = 0;
    for (;;) {
        if (!take(self, piece)) {
            if (!steal(self)) break;
            ++done.steals;
            continue;
        }
        if (failed_.load(std::memory_order_relaxed)) continue;
        try {
            call_(work_, first_ + piece);
            ++done.pieces;
        } catch (...) {
            const std::lock_guard lock{mutex_};
            if (!failure_) failure_ = std::current_exception();
            failed_.store(true, std::memory_order_relaxed);
        }
    }
    done.busy_ns = thread_cpu_ns() - begin;
    return done;
}

bool MorselPool::take(std::size_t self, std::uint32_t& piece) noexcept {
    std::atomic<std::uint64_t>& range = shares_[self].range;
    std::uint64_t now = range.load(std::memory_order_relaxed);
    while (first_of(now) < end_of(now)) {
        piece = first_of(now);
        if (range.compare_exchange_weak(now, range_of(piece + 1, end_of(now)), std::memory_order_relaxed)) return true;
    }
    return false;
}

/// Half of what the next one has left that has something. What it takes away nobody else has: its own share is empty,
/// so that no thief looks for anything in it meanwhile.
bool MorselPool::steal(std::size_t self) noexcept {
    for (std::size_t i = 1; i < sharers_; ++i) {
        std::atomic<std::uint64_t>& victim = shares_[(self + i) % sharers_].range;
        std::uint64_t now = victim.load(std::memory_order_relaxed);
        while (first_of(now) < end_of(now)) {
            const std::uint32_t left = end_of(now) - first_of(now);
            const std::uint32_t cut = end_of(now) - (left + 1) / 2;
            if (!victim.compare_exchange_weak(now, range_of(first_of(now), cut), std::memory_order_relaxed)) continue;
            shares_[self].range.store(range_of(cut, end_of(now)), std::memory_order_relaxed);
            return true;
        }
    }
    return false;
}

void MorselPool::add(const Done& done) noexcept {
    pieces_ += done.pieces;
    steals_ += done.steals;
    busy_ns_ += done.busy_ns;
}

}  // namespace penstock
