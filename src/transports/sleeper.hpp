#pragma once

#include <atomic>
#include <chrono>

#include "memory/arena.hpp"

namespace penstock {

/// What a thread sleeps on that waits for a library's descriptor: another thread or a signal handler may wake it.
class Sleeper {
public:
    /// @throws Error{exhausted} if the process has no descriptor left.
    Sleeper();

    /// Ends a sleep, now or the next one. Async-signal-safe; callable from any thread.
    void wake() noexcept;
    /// Whether it was woken since it last slept or was asked.
    [[nodiscard]] bool was_woken() noexcept { return woken_.exchange(false, std::memory_order_relaxed); }
    /// Until there is something to read from the descriptor, `wake`, or the timeout. @param fd  -1 for none.
    void sleep(std::chrono::nanoseconds timeout, int fd);

private:
    File wake_;
    std::atomic<bool> woken_{false};
};

}  // namespace penstock
