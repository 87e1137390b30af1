#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <span>

#include "memory/arena.hpp"

namespace penstock {

/// What a thread sleeps on that waits for descriptors: another thread or a signal handler may wake it.
class Sleeper {
public:
    /// @throws Error{exhausted} if the process has no descriptor left.
    Sleeper();

    /// Ends a sleep, now or the next one. Async-signal-safe; callable from any thread.
    void wake() noexcept;
    /// Whether it was woken since it last slept or was asked.
    [[nodiscard]] bool was_woken() noexcept { return woken_.exchange(false, std::memory_order_relaxed); }
    /// Until there is something to read from one of the descriptors, `wake`, or the timeout.
    /// @param descriptors  At most `most_descriptors`; negative ones are left out.
    void sleep(std::chrono::nanoseconds timeout, std::span<const int> descriptors);

    static constexpr std::size_t most_descriptors = 7;

private:
    File wake_;
    std::atomic<bool> woken_{false};
};

}  // namespace penstock
