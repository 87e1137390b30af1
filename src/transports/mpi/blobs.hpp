#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include <mpi.h>

#include "memory/arena.hpp"
#include "transports/losses.hpp"
#include "transports/mpi/requests.hpp"
#include "transports/transport.hpp"

namespace penstock::mpi {

/// Fetches blobs from others and sends ours to those who ask.
///
/// A fetch posts its receive under a tag of its own and sends the owner a demand. The owner answers from its arena, in
/// messages of at most 1 GiB; a message without bytes is a refusal.
class Blobs {
public:
    /// @param requests  REQUIRES: shut down before this goes away.
    Blobs(MPI_Comm comm, const Arena& arena, Requests& requests, Losses& losses);

    /// `into` stays valid until the fetch has ended.
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token);

    /// Goes on with what the completed request belongs to: a demand or a blob. @return events delivered.
    std::size_t on_completed(const Completed& completed, TransportEvents& events);

    /// A blob is on its way from or to us.
    [[nodiscard]] bool busy() const noexcept {
        return replies_.size() != free_replies_.size() || fetches_.size() != free_fetches_.size();
    }

private:
    /// The message that asks for a blob. Little-endian.
    struct Demand {
        std::uint64_t offset;
        std::uint64_t bytes;
        std::uint64_t tag;
    };
    static_assert(sizeof(Demand) == 24);

    struct Fetch {
        Demand demand{};
        int owner = 0;
        std::span<std::byte> into;
        std::size_t received = 0;
        std::uint64_t token = 0;
        unsigned open_requests = 0;  ///< The number is free again when all of them have completed.
    };
    struct Reply {
        int to = 0;
        int tag = 0;
        std::span<const std::byte> rest;
    };
    static constexpr std::size_t demand_lanes = 32;

    void receive_next(std::uint32_t number);
    std::size_t on_blob(const Completed& completed, TransportEvents& events);
    void end_request(std::uint32_t number);
    std::size_t on_demand(const Completed& completed, TransportEvents& events);
    void reply(const Demand& demand, Rank to);
    void send_next(std::uint32_t number);
    void on_sent(const Completed& completed);
    [[nodiscard]] bool is_ours(const Demand& demand) const noexcept;

    MPI_Comm comm_;
    const Arena& arena_;
    Requests& requests_;
    Losses& losses_;
    std::uint64_t last_tag_;
    std::array<Demand, demand_lanes> demands_{};
    std::array<Requests::Slot, demand_lanes> demand_slots_{};
    std::deque<Fetch> fetches_;  // a deque: MPI keeps addresses into them
    std::vector<std::uint32_t> free_fetches_;
    std::vector<Reply> replies_;
    std::vector<std::uint32_t> free_replies_;
};

}  // namespace penstock::mpi
