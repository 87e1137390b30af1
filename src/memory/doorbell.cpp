#include "memory/doorbell.hpp"

#include <climits>
#include <ctime>

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace penstock {

bool Doorbell::let_sleepers_fence() noexcept {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}

void Doorbell::arm(std::uint32_t how) noexcept {
    word.store(how, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    // Where the kernel refuses this, it has refused the registration of every sender as well.
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

void Doorbell::sleep(std::chrono::nanoseconds timeout) noexcept {
    if (timeout <= std::chrono::nanoseconds::zero()) return;
    timespec relative{};
    relative.tv_sec = static_cast<std::time_t>(timeout.count() / 1'000'000'000);
    relative.tv_nsec = static_cast<long>(timeout.count() % 1'000'000'000);
    // Whatever ends the wait, the caller looks for work again.
    syscall(SYS_futex, &word, FUTEX_WAIT, asleep, &relative, nullptr, 0);
}

bool Doorbell::wake() noexcept {
    const std::uint32_t was = word.exchange(awake, std::memory_order_seq_cst);
    if (was == asleep_on_pipe) return true;
    syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    return false;
}

}  // namespace penstock
