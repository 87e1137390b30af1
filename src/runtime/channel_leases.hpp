#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/clock.hpp"
#include "base/fifo.hpp"
#include "runtime/credit_book.hpp"
#include "runtime/out_channel.hpp"
#include "runtime/reactor.hpp"

namespace penstock {

/// The coordinator's book of one leased channel: the credits that its consumers have granted and no producer holds, and
/// the producers that ask for some. Whoever asks gets its share of what is there, from the consumers with most; when
/// nothing is there for a while, all are told to give back what they do not use.
class ChannelLeases final : public FrameReceiver {
public:
    ChannelLeases(const ChannelShape& shape, Reactor& reactor);
    ~ChannelLeases() override;
    ChannelLeases(const ChannelLeases&) = delete;
    ChannelLeases& operator=(const ChannelLeases&) = delete;

    void on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) override;
    /// Answers questions as far as credits go. Never waits: who takes no messages is asked again later.
    void serve();
    /// Recalls for those who have waited long enough by now, and tells them that they are heard.
    /// @return when to do so again.
    SteadyClock::time_point recall(SteadyClock::time_point now);

    /// Producers wait for credits, and there are none but those of parked receivers.
    [[nodiscard]] bool lacks_credits() const noexcept { return !questions_.empty() && free_.total() == 0; }
    /// From now on the receiver gets nothing, and leases to it that are not used are wanted back.
    void park(std::uint32_t receiver);
    void unpark(std::uint32_t receiver) { free_.unpark(receiver); }

    static constexpr std::chrono::milliseconds patience{2};

private:
    struct Question {
        std::uint32_t sender;
        std::uint32_t payloads;
        SteadyClock::time_point recall_at;
        std::chrono::milliseconds recall_every;
    };

    void recall_all();
    void add_free(Rank from, std::uint32_t receiver, std::uint32_t payloads);
    void add_question(Rank from, const LeaseFrame& ask);
    /// @return whether it is answered.
    [[nodiscard]] bool answer(const Question& question, std::size_t waiting);
    [[nodiscard]] bool tell(std::uint32_t sender, FrameKind kind, std::uint32_t receiver, std::uint32_t payloads,
                            std::uint8_t flags = 0);

    ChannelShape shape_;
    Reactor& reactor_;
    std::vector<Transport*> to_senders_;
    CreditBook free_;
    std::vector<std::uint32_t> share_;    // by receiver: of the answer under way
    std::vector<std::uint32_t> sharers_;  // the receivers in it
    Fifo<Question> questions_{16};
    std::vector<bool> has_asked_;  // by sender
};

}  // namespace penstock
