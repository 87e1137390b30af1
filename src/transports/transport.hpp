#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/error.hpp>

#include "transports/thresholds.hpp"

namespace penstock {

using Rank = std::uint32_t;

/// The collective a run starts with, before any transport exists. Implemented by each way of launching.
class Bootstrap {
public:
    virtual ~Bootstrap() = default;
    [[nodiscard]] virtual Rank rank() const noexcept = 0;
    [[nodiscard]] virtual Rank size() const noexcept = 0;
    /// Every rank contributes bytes and receives everybody's, by rank. Collective; all ranks call in the same order.
    /// @throws Error{timed_out} naming the ranks that did not answer, Error{disconnected} if one is gone.
    [[nodiscard]] virtual std::vector<std::string> allgather(const std::string& mine) = 0;
};

struct Capabilities {
    bool maps = false;         ///< `map` gives pointers into a peer's arena.
    bool native_read = false;  ///< `fetch` needs no help from the owner's processor.
    bool device_memory = false;
    bool can_block = false;  ///< `wait` sleeps until a frame arrives; otherwise it naps and polls.
    std::size_t max_frame_bytes = 0;
    std::size_t inline_bytes = 0;       ///< Blobs up to this size are best sent inside the frame. At least 256.
    std::size_t fetches_in_flight = 4;  ///< A channel best fetches so many blobs at a time.
};

/// A blob in its owner's arena.
struct BlobRef {
    Rank owner = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
};

/// What a transport delivers while it is polled. Called on the polling thread; must not poll again.
class TransportEvents {
public:
    virtual ~TransportEvents() = default;
    /// One frame, in the order the peer committed them. The bytes are only valid during the call, and a hostile peer
    /// may change them meanwhile: copy first, then check.
    virtual void on_frame(Rank from, std::span<const std::byte> frame) = 0;
    /// A fetch has ended; `error` is empty if the bytes are there.
    virtual void on_fetched(std::uint64_t token, std::string_view error) = 0;
    /// The peer broke the protocol or is gone. Delivered once per peer.
    virtual void on_lost(Rank peer, std::string_view reason) = 0;
};

/// Moves frames, small and in order per peer, and fetches blobs. Used by one thread.
class Transport {
public:
    virtual ~Transport() = default;

    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
    [[nodiscard]] virtual const Capabilities& capabilities() const noexcept = 0;

    /// Opens the way to a peer; frames may be exchanged afterwards. Both sides do it; neither waits for the other.
    virtual void connect(Rank peer) = 0;

    /// Room for one frame to that peer, 8-byte aligned. Empty when the outbox is full: poll, then ask again.
    /// REQUIRES: connected, bytes <= max_frame_bytes, no other reservation open.
    [[nodiscard]] virtual std::span<std::byte> reserve(Rank peer, std::size_t bytes) = 0;
    /// Sends the reserved frame, or holds it back to send it with the next ones.
    virtual void commit(Rank peer) = 0;
    /// Sends what was held back. Called before the caller goes to compute or to sleep.
    virtual void flush() = 0;
    /// True when every committed frame has left this process's memory or been read by its peer.
    [[nodiscard]] virtual bool drained() const = 0;

    /// Gives up what is under way to a peer that is known to be gone.
    virtual void forget(Rank) {}

    /// Delivers what has arrived. @return the number of events delivered.
    virtual std::size_t poll(TransportEvents& events) = 0;

    /// Waits until something may have arrived, `wake` was called, or the timeout. Spurious returns are fine.
    virtual void wait(std::chrono::nanoseconds timeout) = 0;
    /// Ends a `wait` of this process. Async-signal-safe; callable from any thread.
    virtual void wake() noexcept = 0;

    /// Gets ready for a sleep that is not this transport's alone. @param timeout  Is shortened to when it has to be
    /// polled at the latest, to zero if something may have arrived already. @return a descriptor that becomes readable
    /// when something may have arrived; -1 if there is none, and the timeout alone counts.
    [[nodiscard]] virtual int arm(std::chrono::nanoseconds& timeout) = 0;
    /// After such a sleep.
    virtual void disarm() {}

    /// A pointer to the blob in its owner's arena, valid while the owner keeps it. Null if this transport cannot map.
    /// @throws Error{invalid_input} if the blob does not lie inside the owner's arena.
    [[nodiscard]] virtual const std::byte* map(const BlobRef& blob) = 0;
    /// Copies the blob into `into`, which stays valid until `on_fetched(token)`.
    /// REQUIRES: into.size() == blob.bytes, and `token` is not in use.
    virtual void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) = 0;

    /// The thresholds that hold now; all zero if it has none.
    [[nodiscard]] virtual Thresholds thresholds() const noexcept { return {}; }
    /// From now on these hold.
    /// REQUIRES: they are within the range of this kind of transport, nothing is being fetched, and nobody has asked
    /// for the capabilities, which they change.
    virtual void use(const Thresholds&) {}
};

}  // namespace penstock
