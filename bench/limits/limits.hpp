#pragma once

#include <chrono>
#include <cstddef>
#include <optional>

/// What this machine can do, measured with the least code that does it: the limits that results are held against.
/// Every function forks its processes, leaves nothing behind, and ends within its duration plus ten seconds or throws
/// std::runtime_error. Call them before the program starts threads.
namespace penstock::bench {

/// Where the processes run; what is unset is left to the scheduler.
struct Placement {
    std::optional<int> producer;
    std::optional<int> consumer;
    std::optional<int> second_consumer;
};

/// The producer alone on the first CPU this process may use, the consumers on the following ones.
/// With two CPUs both consumers share the second.
[[nodiscard]] Placement spread_cpus();

enum class Touch {
    none,          ///< Only the ticket crosses: the cost does not depend on the size.
    sum_only,      ///< The consumer reads every byte, which was written once, at the start.
    fill_and_sum,  ///< The producer writes every byte, the consumer reads every byte and checks the order.
};

/// A ring of 64-byte tickets between two processes, by reference: the blob stays where the producer wrote it.
/// The consumer's index is the credit that frees a slot. Both sides spin.
struct RingRun {
    std::size_t size_bytes = 64;  ///< Of one blob.
    std::size_t slots = 4096;     ///< Tickets and blobs in flight; a power of two.
    Touch touch = Touch::none;
    int consumers = 1;  ///< 1 or 2. Two share the work, each with a ring of its own.
    std::chrono::milliseconds duration{300};
    Placement cpus;
};

struct Rate {
    double messages_per_s = 0;
    double gigabytes_per_s = 0;  ///< 10^9 bytes of payload.
};

/// Lossless and in order, which is checked.
[[nodiscard]] Rate ring_rate(const RingRun& run);

/// W1a, the limit of what a producer can hand to a consumer: tickets, nobody touches the payload.
[[nodiscard]] double ticket_rate(std::chrono::milliseconds duration, const Placement& cpus);

/// W1b with so many slots: filled and summed. In GB/s.
/// It depends much on the slots: few stay in a cache, many keep two distant cores out of each other's way.
[[nodiscard]] double touched_rate(std::size_t size_bytes, std::chrono::milliseconds duration, const Placement& cpus,
                                  std::size_t slots = 4);

/// W1b, the limit: the best that `touched_rate` gives with 2 slots, 4 slots, 4 MiB of slots, and `window(size_bytes)`.
/// The duration is shared out among them.
[[nodiscard]] double best_touched_rate(std::size_t size_bytes, std::chrono::milliseconds duration,
                                       const Placement& cpus);

/// W3, the limit: one producer fills, two processors sum; the best of the same numbers of slots. In messages/s.
[[nodiscard]] double shared_rate(std::size_t size_bytes, std::chrono::milliseconds duration, const Placement& cpus);

/// Half round trips, in microseconds.
struct Latency {
    double p50_us = 0;
    double p99_us = 0;
};

/// W2, the limit: one blob goes and one comes back through such rings; filled and summed both ways if `touch` says so.
/// `slots` and `consumers` of the run do not matter.
[[nodiscard]] Latency ring_latency(const RingRun& run);

/// One process, one core. Cold memory has left the last-level cache by the time it is used again.
/// It is shared memory in small pages, as the arenas are.
struct MemoryRun {
    std::size_t size_bytes = 16U << 20U;
    bool is_cold = true;
    std::chrono::milliseconds duration{300};
    std::optional<int> cpu;
};

[[nodiscard]] double memcpy_rate(const MemoryRun& run);  ///< GB/s, copied bytes counted once.
[[nodiscard]] double fill_rate(const MemoryRun& run);    ///< GB/s of `fill`.
[[nodiscard]] double read_rate(const MemoryRun& run);    ///< GB/s of `sum`.

}  // namespace penstock::bench
