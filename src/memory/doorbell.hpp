#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace penstock {

/// Lets a process sleep until one of many others has something for it: one futex word that all of them may write.
///
/// The sleeper announces itself with `arm`, looks once more for work, and then sleeps; a sender publishes its work and
/// then calls `ring`. Between a sender's two steps there must be a fence, or a sleeper could be missed. Where the
/// kernel can make the sleeper pay for it (membarrier(2), global expedited), a ring costs a load while nobody sleeps.
/// Nothing else lies in the shared page, so the worst a broken peer can do is wake somebody for nothing.
///
/// A sleeper that waits for other things as well sleeps on descriptors, one of which is the reading end of its pipe
/// (`Arena::bell_pipe`): who finds it so writes to the pipe.
struct Doorbell {
    static constexpr std::uint32_t awake = 0;
    static constexpr std::uint32_t asleep = 1;
    static constexpr std::uint32_t asleep_on_pipe = 2;

    alignas(64) std::atomic<std::uint32_t> word{awake};

    /// Asks the kernel to let sleepers fence for this process too. Once per process, before it rings.
    /// @return whether it will; `ring` is to be told.
    [[nodiscard]] static bool let_sleepers_fence() noexcept;

    /// @param how  `asleep` before `sleep`, or `asleep_on_pipe`.
    void arm(std::uint32_t how = asleep) noexcept;
    void disarm() noexcept { word.store(awake, std::memory_order_relaxed); }
    /// Sleeps while armed, at most that long.
    void sleep(std::chrono::nanoseconds timeout) noexcept;
    /// The fence between a sender's two steps.
    static void fence(bool sleepers_fence) noexcept {
        if (sleepers_fence) {
            std::atomic_signal_fence(std::memory_order_seq_cst);  // keeps the compiler from swapping the two steps
        } else {
            std::atomic_thread_fence(std::memory_order_seq_cst);
        }
    }
    /// REQUIRES: what the sleeper is to find was stored before, with release order or stronger.
    /// @return whether its pipe is to be written to.
    [[nodiscard]] bool ring(bool sleepers_fence) noexcept {
        fence(sleepers_fence);
        return word.load(std::memory_order_relaxed) != awake && wake();
    }
    /// Wakes unconditionally. Async-signal-safe. @return whether its pipe is to be written to.
    bool wake() noexcept;
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace penstock
