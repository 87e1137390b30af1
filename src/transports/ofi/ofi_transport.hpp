#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "memory/arena.hpp"
#include "transports/ofi/settings.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// A fetch, which is a message each way, costs less than a copy from about the inline size on. Chunks are long enough
/// for the way there and back not to count, and short enough for several to share the way. Frames are sent when they
/// fill a message, whose length the provider says.
inline constexpr ThresholdRange ofi_thresholds{
    .built_in = {.inline_bytes = 16U << 10U, .coalesced_bytes = 0, .chunk_bytes = 1U << 20U, .in_flight = 4},
    .least = {.inline_bytes = 256, .coalesced_bytes = 0, .chunk_bytes = 64U << 10U, .in_flight = 1},
    // A peer answers at most 64 chunks at a time, which those of 16 blobs on 16 rails are.
    .most = {.inline_bytes = largest_inline_bytes, .coalesced_bytes = 0, .chunk_bytes = 16U << 20U, .in_flight = 16}};

/// Frames and blobs over libfabric: EFA, InfiniBand, RoCE, or TCP, whatever provider all ranks have.
///
/// One endpoint, or several with payloads on all of them, used by one thread. What a peer may have on its way to us is
/// bounded, and there is a buffer for all of it. A peer that dies is reported. Messages of other runs are not listened
/// to.
class OfiTransport : public Transport {
public:
    /// In words: the version of libfabric, the provider, the device and how blobs come.
    [[nodiscard]] virtual const std::string& description() const noexcept = 0;
    /// What figures are true for.
    [[nodiscard]] const std::string& identity() const noexcept { return description(); }
    /// Fetches something from that rank and answers as many fetches of others.
    /// @param rank    Nothing for one that only answers.
    /// @param others  How many ranks name this one. @return what went wrong, or nothing.
    [[nodiscard]] virtual std::string probe(std::optional<Rank> rank, std::uint64_t others,
                                            std::chrono::milliseconds timeout) = 0;
    /// The ways to each rank that are used side by side.
    [[nodiscard]] virtual std::uint32_t rails() const noexcept = 0;
    /// How often memory was registered.
    [[nodiscard]] virtual std::uint64_t registrations() const noexcept = 0;
};

struct OfiResult {
    std::unique_ptr<OfiTransport> transport;  ///< Null where libfabric does not work on some rank.
    std::string why_not;
};

/// Collective over all ranks, with the same result on all of them.
[[nodiscard]] OfiResult make_ofi_transport(Bootstrap& bootstrap, Arena& arena,
                                           const ofi::Limits& limits = ofi::Limits::of_environment(),
                                           const ofi::Wishes& wishes = ofi::Wishes::of_environment());

namespace ofi {

/// What libfabric offers on this host.
struct Here {
    std::string text = {};                   ///< Providers and devices in words, the best first.
    std::optional<bool> device_memory = {};  ///< Whether the best one offers FI_HMEM; nothing where there is none.
};
[[nodiscard]] Here here();

}  // namespace ofi
}  // namespace penstock
