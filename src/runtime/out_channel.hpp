#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <penstock/plan.hpp>

#include "base/clock.hpp"
#include "base/fifo.hpp"
#include "memory/predicate.hpp"
#include "runtime/credits.hpp"
#include "runtime/drafts.hpp"
#include "runtime/reactor.hpp"

namespace penstock {

/// Which part of a channel's way a shape describes. A central channel has two: from its producers to the coordinator,
/// and from there to its consumers.
enum class Leg : std::uint8_t { whole, to_broker, from_broker };

/// What both ends of a channel work out from the plan, so that no message is needed to agree.
struct ChannelShape {
    std::uint16_t number;
    std::string name = {};
    Route route = Route::balance;
    std::string key = {};
    Overflow overflow = Overflow::block;
    Dispatch dispatch = Dispatch::direct;
    PassBy by = PassBy::reference;
    Leg leg = Leg::whole;
    std::string filter = {};
    std::uint32_t sample = 1;
    Compression compression = {};
    Checksum checksum = Checksum::none;
    std::string transport = "auto";
    Rank first_sender;
    std::uint32_t senders;
    Rank first_receiver;
    std::uint32_t receivers;
    // Of the leg to the broker: the consumers behind it.
    Rank first_reader = 0;
    std::uint32_t readers = 0;
    bool parks_receivers = false;  ///< The coordinator leaves out those that are not needed.
    std::uint32_t capacity;        ///< Payloads in one receiver's queue, all senders together.
    std::uint64_t capacity_bytes;

    /// Credits that one sender has at one receiver when the run starts.
    [[nodiscard]] Credits initial_credits() const noexcept;
    /// Payloads that may be on their way to one receiver, from all senders.
    [[nodiscard]] std::uint64_t most_under_way() const noexcept;
    /// Leads to the owner of a blob that its sender only hands on.
    [[nodiscard]] std::string_view transport_to_owners() const noexcept {
        return transport == "shm" ? std::string_view{"auto"} : std::string_view{transport};
    }
    /// Several producers compete, or some consumers are left out, so that the coordinator hands out what the consumers
    /// grant. Else they grant it to their only producer.
    [[nodiscard]] bool asks_coordinator() const noexcept {
        return dispatch == Dispatch::leased && (senders > 1 || parks_receivers);
    }
};
[[nodiscard]] ChannelShape shape_of(const Plan& plan, std::uint16_t channel);
/// The part of a channel that its producers have an end of: all of it, or the way to the coordinator.
[[nodiscard]] ChannelShape sending_leg(const ChannelShape& channel);
/// The part that its consumers have an end of.
[[nodiscard]] ChannelShape receiving_leg(const ChannelShape& channel);

/// The sending end of a channel: picks receivers, holds credits, keeps custody of what is under way.
class OutChannel final : public FrameReceiver {
public:
    OutChannel(ChannelShape shape, Reactor& reactor, Drafts& drafts, ChannelStatus& status);
    ~OutChannel() override;
    OutChannel(const OutChannel&) = delete;
    OutChannel& operator=(const OutChannel&) = delete;

    [[nodiscard]] const std::string& name() const noexcept { return shape_.name; }
    [[nodiscard]] std::uint16_t number() const noexcept { return shape_.number; }
    [[nodiscard]] std::uint64_t next_sequence() noexcept { return next_sequence_++; }

    /// Hands on a payload, unless filter or sample keep it out; takes over one reference. What happens when the
    /// receivers are full is the channel's policy.
    /// @throws Error{exhausted} under `overflow: error`, Error{invalid_input} if the routing key is missing.
    void publish(PayloadBody* body);
    /// The same for the coordinator, which never waits: a payload that would block is left with the caller. It is
    /// offered again until it is taken, before any other: some of its receivers may have got it.
    /// @return whether it is taken over.
    [[nodiscard]] bool try_publish(PayloadBody* body);
    /// Sends what was held back, as far as credits allow, and gives back leases that were recalled.
    void pump();
    /// Sends everything held back, waiting for credit, and then END to every receiver.
    void end();
    /// The same without waiting. @return whether every receiver has been told; call again if not.
    [[nodiscard]] bool try_end();
    /// Everything sent is settled and every receiver has acknowledged END.
    [[nodiscard]] bool finished() const noexcept;
    /// Receivers for which blobs are compressed: all that do not map them.
    [[nodiscard]] std::size_t compresses_for() const noexcept;
    [[nodiscard]] std::size_t receivers() const noexcept { return edges_.size(); }
    /// It has nothing to send with, and the coordinator has not said for so long that it has heard of it.
    [[nodiscard]] bool coordinator_is_silent(SteadyClock::time_point now, SteadyClock::duration limit) const noexcept;
    /// For the stall report: credits and payloads under way, by receiver.
    [[nodiscard]] std::string describe() const;

    void on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) override;

private:
    struct Edge {
        Rank peer = 0;
        Transport* transport = nullptr;
        std::size_t inline_bytes = 0;
        bool packs = false;  ///< Compresses, as the blobs are fetched.
        Credits credits;
        std::uint64_t sent = 0;
        Fifo<PayloadBody*> in_flight{64};  ///< From the oldest unsettled on; null where nothing is kept.
        std::uint64_t oldest = 0;          ///< Edge sequence of its front.
        bool told_end = false;
        bool acknowledged = false;
    };
    /// Receivers that stand in for each other: all of them for `balance`, one otherwise.
    struct Lane {
        std::size_t first_edge;
        std::size_t edges;
        std::size_t next = 0;
        Fifo<PayloadBody*> held_back{16};
        // Where payloads go in runs:
        Edge* last = nullptr;
        std::uint64_t run = 0;  ///< More that go to the same receiver.
        // Of a leased channel, which has one lane:
        std::uint64_t leases = 0;  ///< Credits of its edges.
        std::uint32_t batch = 1;   ///< To ask for: doubled when it is used up at once, halved when not.
        bool ran_dry = false;      ///< Since it asked last.
        bool asked = false;
        SteadyClock::time_point heard_at{};  ///< Or asked.
    };

    [[nodiscard]] bool never_waits() const noexcept { return shape_.leg == Leg::from_broker; }
    /// Where the receivers say how much they take: credits tell who is quick.
    [[nodiscard]] bool goes_in_runs() const noexcept { return never_waits() || shape_.dispatch == Dispatch::leased; }
    [[nodiscard]] bool keeps_out(const PayloadBody& body) noexcept;
    [[nodiscard]] static bool goes_inline(const Edge& edge, const PayloadBody& body) noexcept;
    [[nodiscard]] std::uint64_t hash_or_drop(PayloadBody* body) const;
    [[nodiscard]] std::uint64_t key_hash(const PayloadBody& body) const;
    [[nodiscard]] Edge* pick(Lane& lane, std::uint64_t bytes) noexcept;
    [[nodiscard]] Edge* most_credits(Lane& lane, std::uint64_t bytes) noexcept;
    void offer(Lane& lane, PayloadBody* body);
    void overflow(Lane& lane, PayloadBody* body);
    [[nodiscard]] bool try_offer(Lane& lane, PayloadBody* body);
    void send(Lane& lane, Edge& edge, PayloadBody* body);
    [[nodiscard]] bool try_send(Lane& lane, Edge& edge, PayloadBody* body);
    [[nodiscard]] bool is_fetched(const Edge& edge);
    void seal(PayloadBody& body);
    [[nodiscard]] TicketForm form_for(const Edge& edge, PayloadBody& body);
    void write(Lane& lane, Edge& edge, PayloadBody* body, const TicketForm& form, std::span<std::byte> room);
    void count(const TicketForm& form, const PayloadBody& body) noexcept;
    void ask(Lane& lane);
    void want(Lane& lane);
    void give_back();
    void on_lease(Rank from, FrameKind kind, std::span<const std::byte> frame);
    void drop(PayloadBody* body) noexcept;
    void on_returns(Edge& edge, const Returns& returns);

    ChannelShape shape_;
    Reactor& reactor_;
    Drafts& drafts_;
    ChannelStatus& status_;
    Transport* to_coordinator_ = nullptr;  // where it asks for leases
    bool recalled_ = false;
    bool blocked_ = false;  // `publish` waits for credit
    bool ended_ = false;
    std::vector<Edge> edges_;
    std::vector<Lane> lanes_;
    std::size_t next_lane_ = 0;
    std::optional<Predicate> filter_;  // of the shape
    std::uint32_t since_sample_ = 0;   ///< Payloads that passed the filter, up to `sample`.
    std::size_t next_part_ = 0;        ///< Of a broadcast that `try_publish` could not finish.
    std::size_t hold_limit_ = 0;
    std::uint64_t most_credits_ = 0;  // on one edge
    std::uint64_t next_sequence_ = 0;
};

}  // namespace penstock
