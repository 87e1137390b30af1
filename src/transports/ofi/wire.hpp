#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "transports/ofi/endpoint.hpp"
#include "transports/ofi/packet.hpp"
#include "transports/ofi/slots.hpp"

namespace penstock::ofi {

/// A message that came in.
struct Arrived {
    Slot* slot = nullptr;
    std::size_t bytes = 0;
    [[nodiscard]] std::span<const std::byte> message() const noexcept { return {slot->data, bytes}; }
};

/// A peer that cannot be reached.
struct Broken {
    Rank peer = 0;
    std::string what;
};

struct Rail;

/// What all peers share: the rails, their buffers for messages, and who does not take any. Messages go over the first
/// rail but for chunks of blobs.
class Wire {
public:
    /// What any rank may send to us before it has heard from us, control messages included.
    static constexpr std::uint32_t first_window = 4;

    /// @param message_bytes  How long a message is; the same on all ranks.
    Wire(const std::vector<Rail>& rails, std::size_t message_bytes, std::uint64_t run, Rank self, Rank ranks);
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    [[nodiscard]] std::uint32_t rails() const noexcept { return static_cast<std::uint32_t>(lanes_.size()); }
    [[nodiscard]] Device& device(std::uint32_t rail = 0) noexcept { return lanes_[rail].device; }
    [[nodiscard]] Endpoint& endpoint(std::uint32_t rail = 0) noexcept { return lanes_[rail].endpoint; }
    /// Of our arena, for what is sent from it and received into it on that rail.
    [[nodiscard]] void* arena_descriptor(std::uint32_t rail) const noexcept { return lanes_[rail].arena.descriptor(); }
    /// In words, as far as there are several.
    [[nodiscard]] std::string name_of(std::uint32_t rail) const;
    [[nodiscard]] Rank ranks() const noexcept { return ranks_; }
    [[nodiscard]] std::uint64_t run() const noexcept { return run_; }
    [[nodiscard]] std::uint32_t window() const noexcept { return lanes_.front().device.limits().window; }
    /// How long a message is, and what of it is left behind its header: a multiple of 8.
    [[nodiscard]] static std::size_t message_bytes(const Device& device) noexcept;
    [[nodiscard]] std::size_t room() const noexcept { return message_bytes_ - sizeof(Head); }

    void add_receives(std::size_t count, std::uint32_t rail = 0) { lanes_[rail].receives.add(count); }
    void add_sends(std::size_t count) { lanes_.front().sends.add(count); }
    [[nodiscard]] std::size_t free_sends(std::uint32_t rail) const noexcept { return lanes_[rail].sends.left(); }
    [[nodiscard]] std::size_t on_way() const noexcept;
    /// Whether libfabric still needs a message to that peer.
    [[nodiscard]] bool is_sending(Rank to) const noexcept { return way(to).messages != 0; }

    /// Sends a message with a copy of the body. @return false: try again later.
    [[nodiscard]] bool send(Rank to, Head head, std::span<const std::byte> body);
    /// The body is read until the message is sent, and stays as long.
    /// REQUIRES: it lies in our arena.
    [[nodiscard]] bool send_in_place(Rank to, std::uint32_t rail, Head head, std::span<const std::byte> body);

    /// Notes how libfabric took an operation to a peer. @return whether it did.
    [[nodiscard]] bool took(const Operation& operation, long result) {
        return took(operation.peer, operation.rail, result);
    }
    void on_completed(const Operation& operation) noexcept { --way(operation.peer, operation.rail).under_way; }
    /// Something came from that peer, or went there.
    void on_met(Rank peer, std::uint32_t rail) noexcept { way(peer, rail).is_met = true; }
    [[nodiscard]] bool is_met(Rank peer, std::uint32_t rail = 0) const noexcept { return way(peer, rail).is_met; }
    /// Whether somebody did not take something since the last time this was asked.
    [[nodiscard]] bool was_refused() noexcept { return std::exchange(refused_, false); }

    /// Posts the receives that are free.
    void refill();
    /// Makes libfabric move. What has completed but for sends and receives is added to `completions`.
    void progress(std::vector<Completion>& completions);
    /// What came in and was not taken yet.
    [[nodiscard]] bool take(Arrived& arrived) noexcept;
    [[nodiscard]] bool has_arrived() const noexcept { return next_ != arrived_.size(); }
    /// Gives the buffer of a message back.
    void release(Slot& slot) noexcept { lanes_[slot.operation.rail].receives.give_back(slot); }

    void add_broken(const Operation& operation, std::string what) {
        add_broken(operation.peer, operation.rail, std::move(what));
    }
    [[nodiscard]] std::vector<Broken> take_broken() noexcept { return std::exchange(broken_, {}); }
    [[nodiscard]] bool has_broken() const noexcept { return !broken_.empty(); }

private:
    struct Way {
        std::uint32_t under_way = 0;  ///< Operations that libfabric has.
        std::uint32_t messages = 0;   ///< Of those, what has a buffer of ours.
        bool is_met = false;
        SteadyClock::time_point refused_since{};  ///< Zero: not refused.
    };

    struct Lane {
        Device& device;
        Endpoint& endpoint;
        const Region& arena;
        Slots receives;
        Slots sends;
        std::vector<Way> ways;  // by rank
    };

    [[nodiscard]] Way& way(Rank peer, std::uint32_t rail) noexcept { return lanes_[rail].ways[peer]; }
    [[nodiscard]] const Way& way(Rank peer, std::uint32_t rail = 0) const noexcept { return lanes_[rail].ways[peer]; }
    [[nodiscard]] bool took(Rank peer, std::uint32_t rail, long result);
    void add_broken(Rank peer, std::uint32_t rail, std::string what) {
        broken_.push_back({peer, std::move(what) + name_of(rail)});
    }
    void refill(Lane& lane);
    void handle(Lane& lane, Completion& completion, std::vector<Completion>& others);
    /// Notes how libfabric took a message, whose buffer comes back if it did not.
    [[nodiscard]] bool began(Lane& lane, Slot& slot, long result);
    /// Where a provider keeps an order, a test may take it away.
    void shuffle();

    std::size_t message_bytes_;
    std::uint64_t run_;
    Rank self_;
    Rank ranks_;
    std::deque<Lane> lanes_;  // by rail
    std::vector<Completion> completions_;
    std::vector<Arrived> arrived_;
    std::size_t next_ = 0;
    std::vector<Broken> broken_;
    bool injects_;  // short messages, which then need no buffer
    bool refused_ = false;
    std::mt19937 random_{7};
};

}  // namespace penstock::ofi
