#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "memory/arena.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// A fetch, which is a message each way, costs less than a copy from about the inline size on.
inline constexpr ThresholdRange ucx_thresholds{
    .built_in = {.inline_bytes = 16U << 10U, .coalesced_bytes = 32U << 10U, .chunk_bytes = 0, .in_flight = 4},
    .least = {.inline_bytes = 256, .coalesced_bytes = 512, .chunk_bytes = 0, .in_flight = 1},
    .most = {.inline_bytes = largest_inline_bytes, .coalesced_bytes = 128U << 10U, .chunk_bytes = 0, .in_flight = 16}};

/// Frames and blobs over UCX: InfiniBand, RoCE, or TCP, whatever it finds.
///
/// One worker, used by one thread. Endpoints are opened when they are first used. What a peer may have on its way to us
/// is bounded: it has a window of messages that we have not read. A peer that dies is reported. Messages of other runs
/// are not listened to.
class UcxTransport : public Transport {
public:
    /// In words: the version of UCX and the devices that it may use.
    [[nodiscard]] virtual const std::string& description() const noexcept = 0;
    /// The same without what changes from day to day: what figures are true for.
    [[nodiscard]] virtual const std::string& identity() const noexcept = 0;
    /// Fetches something from that rank and answers as many fetches of others.
    /// @param rank    Nothing for one that only answers.
    /// @param others  How many ranks name this one. @return what went wrong, or nothing.
    [[nodiscard]] virtual std::string probe(std::optional<Rank> rank, std::uint64_t others,
                                            std::chrono::milliseconds timeout) = 0;
};

struct UcxResult {
    std::unique_ptr<UcxTransport> transport;  ///< Null where UCX does not work on some rank.
    std::string why_not;
};

/// Collective over all ranks, with the same result on all of them.
[[nodiscard]] UcxResult make_ucx_transport(Bootstrap& bootstrap, Arena& arena);

}  // namespace penstock
