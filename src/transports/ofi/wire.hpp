#pragma once

#include <cstddef>
#include <cstdint>
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

/// What all peers of one endpoint share: the buffers for messages, and who does not take any.
class Wire {
public:
    /// What any rank may send to us before it has heard from us, control messages included.
    static constexpr std::uint32_t first_window = 4;

    Wire(Device& device, Endpoint& endpoint, std::uint64_t run, Rank self, Rank ranks);
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    [[nodiscard]] Device& device() noexcept { return device_; }
    [[nodiscard]] Endpoint& endpoint() noexcept { return endpoint_; }
    [[nodiscard]] Rank ranks() const noexcept { return static_cast<Rank>(ways_.size()); }
    [[nodiscard]] std::uint64_t run() const noexcept { return run_; }
    [[nodiscard]] std::uint32_t window() const noexcept { return device_.limits().window; }
    /// How long a message is, and what of it is left behind its header: a multiple of 8.
    [[nodiscard]] static std::size_t message_bytes(const Device& device) noexcept;
    [[nodiscard]] std::size_t room() const noexcept { return receives_.bytes() - sizeof(Head); }

    void add_receives(std::size_t count) { receives_.add(count); }
    void add_sends(std::size_t count) { sends_.add(count); }
    [[nodiscard]] std::size_t free_sends() const noexcept { return sends_.left(); }
    [[nodiscard]] std::size_t on_way() const noexcept { return sends_.in_use(); }
    /// Whether libfabric still needs a message to that peer.
    [[nodiscard]] bool is_sending(Rank to) const noexcept { return ways_[to].messages != 0; }

    /// Sends a message with a copy of the body. @return false: try again later.
    [[nodiscard]] bool send(Rank to, Head head, std::span<const std::byte> body);
    /// The body is read until the message is sent, and stays as long.
    [[nodiscard]] bool send_in_place(Rank to, Head head, std::span<const std::byte> body, void* descriptor);

    /// Notes how libfabric took an operation to a peer. @return whether it did.
    [[nodiscard]] bool took(Rank peer, long result);
    void on_completed(Rank peer) noexcept { --ways_[peer].under_way; }
    /// Something came from that peer.
    void on_met(Rank peer) noexcept { ways_[peer].is_met = true; }
    [[nodiscard]] bool is_met(Rank peer) const noexcept { return ways_[peer].is_met; }
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
    void release(Slot& slot) noexcept { receives_.give_back(slot); }

    void add_broken(Rank peer, std::string what) { broken_.push_back({peer, std::move(what)}); }
    [[nodiscard]] std::vector<Broken> take_broken() noexcept { return std::exchange(broken_, {}); }
    [[nodiscard]] bool has_broken() const noexcept { return !broken_.empty(); }

private:
    struct Way {
        std::uint32_t under_way = 0;  ///< Operations that libfabric has.
        std::uint32_t messages = 0;   ///< Of those, what has a buffer of ours.
        bool is_met = false;
        SteadyClock::time_point refused_since{};  ///< Zero: not refused.
    };

    /// Notes how libfabric took a message, whose buffer comes back if it did not.
    [[nodiscard]] bool began(Slot& slot, Rank to, long result);
    /// Where a provider keeps an order, a test may take it away.
    void shuffle();

    Device& device_;
    Endpoint& endpoint_;
    std::uint64_t run_;
    Rank self_;
    Slots receives_;
    Slots sends_;
    std::vector<Way> ways_;  // by rank
    std::vector<Completion> completions_;
    std::vector<Arrived> arrived_;
    std::size_t next_ = 0;
    std::vector<Broken> broken_;
    bool injects_;  // short messages, which then need no buffer
    bool refused_ = false;
    std::mt19937 random_{7};
};

}  // namespace penstock::ofi
