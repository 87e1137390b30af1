#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "memory/arena.hpp"
#include "memory/doorbell.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// Frames through rings in shared memory, blobs by pointer into the owner's arena.
///
/// Every process writes to its own arena only and maps the others' read-only. A process that is killed leaves nothing
/// behind, and cannot corrupt what another one relies on: lengths and offsets are checked where they are read.
class ShmTransport final : public Transport {
public:
    /// Collective. Learns everybody's arena, and whose can be mapped; maps them when they are first needed.
    ShmTransport(Bootstrap& bootstrap, Arena& arena);
    ~ShmTransport() override;

    /// True if that rank's arena can be mapped here; otherwise `why_not` says what stands against it.
    [[nodiscard]] bool reaches(Rank peer) const noexcept { return peers_[peer] != nullptr; }
    [[nodiscard]] const std::string& why_not(Rank peer) const noexcept { return reasons_[peer]; }

    [[nodiscard]] std::string_view name() const noexcept override { return "shm"; }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
    void connect(Rank peer) override;
    [[nodiscard]] std::span<std::byte> reserve(Rank peer, std::size_t bytes) override;
    void commit(Rank peer) override;
    void flush() override {}  // a committed frame is with its reader
    [[nodiscard]] bool drained() const override;
    void forget(Rank peer) override;
    std::size_t poll(TransportEvents& events) override;
    void wait(std::chrono::nanoseconds timeout) override;
    void wake() noexcept override;
    [[nodiscard]] int arm(std::chrono::nanoseconds& timeout) override;
    void disarm() override;
    [[nodiscard]] const std::byte* map(const BlobRef& blob) override;
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) override;

private:
    struct Directory;
    struct Peer;
    struct Fetched {
        std::uint64_t token;
        std::string error;
    };

    void find_peers(const std::vector<std::string>& announcements);
    /// @return why it cannot be mapped; empty if it is.
    [[nodiscard]] std::string map(Peer& peer) const;
    /// REQUIRES: reaches(rank). @throws Error{disconnected} if it cannot be mapped any more.
    [[nodiscard]] Peer& mapped(Rank rank);
    void ring(Peer& peer) noexcept;
    void open_inbox(Peer& peer);
    std::size_t poll_peer(Peer& peer, TransportEvents& events);
    [[nodiscard]] bool something_waits();

    Arena& arena_;
    Rank self_;
    bool sleepers_fence_ = Doorbell::let_sleepers_fence();
    Capabilities capabilities_;
    Block directory_block_;
    Directory* directory_;
    std::vector<std::unique_ptr<Peer>> peers_;  // by rank; null where not reachable
    std::vector<std::string> reasons_;
    std::vector<Peer*> connected_;
    std::vector<Fetched> fetched_;
    std::atomic<bool> woken_{false};
};

}  // namespace penstock
