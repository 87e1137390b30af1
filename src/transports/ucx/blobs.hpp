#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/fifo.hpp"
#include "memory/arena.hpp"
#include "transports/transport.hpp"
#include "transports/ucx/handles.hpp"
#include "transports/ucx/peer.hpp"
#include "transports/ucx/wire.hpp"

namespace penstock::ucx {

/// Fetches blobs from others and sends ours to those who ask.
///
/// A fetch posts the receive into its buffer under a tag that nobody can guess, and sends the owner a demand with it.
/// The owner answers from its arena under that tag: eagerly when the blob is short, by rendezvous into the buffer when
/// it is long, as UCX decides. An answer without bytes is a refusal.
class Blobs {
public:
    using Peers = std::vector<std::unique_ptr<Peer>>;

    /// REQUIRES: the worker is destroyed before this goes away.
    Blobs(Wire& wire, const Arena& arena, ucp_mem_h registered, Peers& peers);
    Blobs(const Blobs&) = delete;
    Blobs& operator=(const Blobs&) = delete;

    /// `into` stays valid until the fetch has ended.
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token);
    /// Sends the peer the blob it asked for.
    void answer(const Head& demand);
    /// Ends the fetches from a peer that is gone; `deliver` says so.
    void give_up(Rank owner, const std::string& reason);
    /// Tells of the fetches that have ended. @return how many.
    std::size_t deliver(TransportEvents& events);

    [[nodiscard]] bool has_news() const noexcept {
        return !ended_.empty() || (!waiting_.empty() && under_way_ < most_under_way());
    }
    /// How many answers UCX has sent.
    [[nodiscard]] std::uint64_t answered() const noexcept { return answered_; }
    [[nodiscard]] bool answering() const noexcept { return replies_.size() != free_replies_.size(); }

private:
    struct Fetch {
        Blobs* blobs = nullptr;
        std::uint32_t number = 0;
        BlobRef blob{};
        std::span<std::byte> into;
        std::uint64_t token = 0;
        bool is_asked = false;    ///< The owner was asked; its end is still to be told.
        void* request = nullptr;  ///< UCX has the buffer.
    };
    struct Ended {
        std::uint64_t token = 0;
        std::string error;  ///< Empty, and without memory of its own, if all is well.
    };
    struct Reply {
        Blobs* blobs = nullptr;
        std::uint32_t number = 0;
    };

    /// Of a process with several channels. More at a time only compete for the caches.
    [[nodiscard]] std::size_t most_under_way() const noexcept { return std::size_t{2} * wire_.thresholds().in_flight; }

    void start(std::uint32_t number);
    void end(Fetch& fetch, std::string error);
    void on_received(Fetch& fetch, ucs_status_t status, std::size_t bytes);
    void receive(Fetch& fetch, std::uint64_t tag);
    void put_back(Fetch& fetch);
    static void on_receive(void* request, ucs_status_t status, const ucp_tag_recv_info_t* info, void* fetch) noexcept;
    static void on_sent(void* request, ucs_status_t status, void* reply) noexcept;
    [[nodiscard]] bool lies_in_arena(const std::byte* at, std::size_t bytes) const noexcept;

    Wire& wire_;
    const Arena& arena_;
    ucp_mem_h registered_;
    Peers& peers_;
    std::mt19937_64 random_{std::random_device{}()};
    std::deque<Fetch> fetches_;  // a deque: UCX keeps addresses into it
    std::vector<std::uint32_t> free_fetches_;
    Fifo<std::uint32_t> waiting_;
    std::size_t under_way_ = 0;
    std::deque<Reply> replies_;
    std::vector<std::uint32_t> free_replies_;
    std::uint64_t answered_ = 0;
    std::vector<Ended> ended_;
    std::size_t told_ = 0;  // of those
};

}  // namespace penstock::ucx
