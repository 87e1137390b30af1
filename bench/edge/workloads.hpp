#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "edge/pair.hpp"
#include "limits/limits.hpp"

namespace penstock::bench {

/// How one measurement of an edge is made.
struct EdgeRun {
    std::size_t size_bytes = 64;
    Touch touch = Touch::none;
    Idle idle = Idle::spin;
    std::string transport = "auto";
    std::uint32_t window = 0;  ///< Payloads the consumer's queue may hold; 0 for `edge_window`.
    double seconds = 1;
    bool pinned = false;
    /// Of blocking round trips: let the other side fall asleep before each.
    bool rest_between = false;
    /// The consumer waits for the bytes of each payload, also when it does not touch them.
    bool asks_for_bytes = false;
    /// Two processes that are there already play the roles; null: they are made.
    Bootstrap* world = nullptr;
};

/// Payloads in flight: 1024 small ones; of large ones as many as 4 MiB hold, so that the memory that comes
/// back is still in a cache when it is filled again. At least 1, under way while the next is filled.
[[nodiscard]] std::uint32_t edge_window(std::size_t size_bytes, Touch touch) noexcept;

/// One producer, one consumer, one channel. Lossless and in order, which is checked.
[[nodiscard]] Rate edge_rate(const EdgeRun& run);

/// Half round trips over a channel each way. With touched payloads both sides fill and sum.
[[nodiscard]] Latency edge_latency(const EdgeRun& run);

/// That this process has used.
[[nodiscard]] double cpu_seconds();

/// CPU seconds that a process uses in one second of waiting for another one that is silent.
[[nodiscard]] double idle_cpu(const EdgeRun& run);

}  // namespace penstock::bench
