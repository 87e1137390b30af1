#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/fifo.hpp"
#include "runtime/drafts.hpp"
#include "runtime/grant_window.hpp"
#include "runtime/out_channel.hpp"
#include "runtime/reactor.hpp"
#include "runtime/return_stack.hpp"

namespace penstock {

/// What has arrived and waits for the operator, over all inputs of an instance, oldest first.
using ReadyQueue = Fifo<PayloadBody*>;

/// The receiving end of a channel: reads tickets, finds blobs, returns credits and settlements in batches, counts to
/// END. By value, it copies what arrives and settles it toward its owner at once.
class InChannel final : public FrameReceiver, public PayloadHome {
public:
    InChannel(ChannelShape shape, Reactor& reactor, Drafts& drafts, Arena& arena, BodyPool& bodies, ReadyQueue& ready,
              ChannelStatus& status);
    /// At the coordinator, which never waits and touches no blob but by value.
    /// @param most_copied  Bytes of copies that it may have at a time; a larger blob is copied alone.
    InChannel(ChannelShape shape, Reactor& reactor, Drafts& drafts, Arena& arena, BodyPool& bodies, ReadyQueue& ready,
              ChannelStatus& status, std::uint64_t most_copied);
    ~InChannel() override;
    InChannel(const InChannel&) = delete;
    InChannel& operator=(const InChannel&) = delete;

    /// The operator takes a payload off the ready queue.
    void taken() {
        add(status_.queued, ~std::uint64_t{0});  // one less
        if (unsaid_copies_) flush_returns();     // the operator may take long
        if (shape_.dispatch == Dispatch::leased) taken_at_ = ticks();
    }
    /// The operator has returned from its call: one more may be sent.
    void return_credit(std::uint32_t edge, std::uint64_t bytes);
    /// Sends the credits and settlements gathered so far.
    void flush_returns();
    /// Every sender has sent END, and as many payloads as it says. @throws Error{disconnected} when the counts differ.
    [[nodiscard]] bool ended() const noexcept;
    [[nodiscard]] bool all_settled() const noexcept;
    /// Tells every sender that all is settled. REQUIRES: ended() and all_settled().
    /// @return whether all could be told; the coordinator calls again if not.
    bool acknowledge();
    /// Its payloads are to be copied: one must not be handed on before it is, as its sender is told then.
    [[nodiscard]] bool copies() const noexcept { return shape_.by == PassBy::value; }
    /// Copies what could not be copied when it came, as far as there is memory now.
    void prefetch();

    void on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) override;
    void on_fetched(PayloadBody& body);
    void retire(PayloadBody* body) noexcept override;
    void resolve(PayloadBody& body) override;

private:
    struct Edge {
        Rank peer = 0;
        Transport* transport = nullptr;
        std::uint64_t received = 0;
        std::uint64_t credits = 0;  ///< That the sender has left.
        std::uint64_t settled = 0;
        std::optional<std::uint64_t> count;  ///< What END said.
        Returns pending{};                   ///< Gathered, not sent yet: one run of settlements.
        bool acknowledged = false;
        std::uint64_t unsaid = 0;              ///< Of a leased channel: payloads returned since the last frame.
        Fifo<std::uint64_t> out_of_order{16};  ///< Settled, but not next to that run.
    };

    void on_ticket(std::uint32_t index, std::span<const std::byte> frame);
    void settle(PayloadBody* body) noexcept;
    [[nodiscard]] const std::byte* stored(PayloadBody& body);
    void unpack(PayloadBody& body, const std::byte* stored);
    [[nodiscard]] Block room_to_unpack(std::uint64_t bytes);
    void drop_copy(PayloadBody& body) noexcept;
    void verify(const PayloadBody& body, const std::byte* blob) const;
    [[noreturn]] void refuse_blob(const PayloadBody& body, const std::string& why) const;
    void count_settled(const PayloadBody& body) noexcept;
    void flush(Edge& edge);
    [[nodiscard]] bool never_waits() const noexcept { return shape_.leg == Leg::to_broker; }
    [[nodiscard]] bool is_to_be_copied(const PayloadBody& body);
    [[nodiscard]] std::optional<Block> room_for_copy(std::uint64_t bytes);
    [[nodiscard]] Transport& way_to_owner(const PayloadBody& body);
    void grant();
    void start_fetch(PayloadBody& body, Block block);
    void on_copied(PayloadBody& body);

    ChannelShape shape_;
    Reactor& reactor_;
    Drafts& drafts_;
    Arena& arena_;
    BodyPool& bodies_;
    ReadyQueue& ready_;
    ChannelStatus& status_;
    std::vector<Edge> edges_;
    Fifo<PayloadBody*> to_fetch_{16};  ///< Queued payloads whose blobs are not here; one reference each.
    std::size_t fetches_ = 0;
    std::size_t most_fetches_ = 1;    ///< More at a time bring no more bandwidth, only take more memory.
    std::vector<Transport*> owners_;  ///< By rank: where blobs of others than the sender are; null until one comes.
    std::uint64_t copied_ = 0;        ///< Bytes of blocks that its payloads have.
    std::uint64_t most_copied_ = 0;   ///< 0: nobody said.
    bool unsaid_copies_ = false;      ///< Copied since the last flush.
    std::uint64_t batch_;             ///< Credits worth a frame of their own.
    // Of a leased channel:
    Transport* to_coordinator_ = nullptr;  ///< Who hands out what is granted; null where the only sender is told.
    GrantWindow window_;
    std::uint64_t under_way_ = 0;  ///< Granted, and not given back since.
    std::uint64_t expected_ = 0;   ///< Of those, not arrived.
    std::uint64_t taken_at_ = 0;   ///< In ticks.
    ReturnStack returned_;
};

}  // namespace penstock
