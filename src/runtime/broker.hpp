#pragma once

#include <cstdint>

#include "runtime/in_channel.hpp"
#include "runtime/out_channel.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {

/// The coordinator's part of a central channel: takes the tickets of all producers, in the order in which they come,
/// and gives each to a consumer that has room, by the route and the overflow policy of the channel. By reference the
/// blobs stay with their owners; by value it keeps copies of its own. It never waits: what no consumer has room for
/// stays here, and holds its producer's credit.
class Broker {
public:
    struct Process {
        Reactor& reactor;
        Drafts& drafts;
        Arena& arena;
        BodyPool& bodies;
    };
    /// @param most_copied  Bytes that copies may take of the arena; a larger blob is copied alone.
    Broker(const ChannelShape& channel, const Process& process, std::uint64_t most_copied);
    ~Broker();
    Broker(const Broker&) = delete;
    Broker& operator=(const Broker&) = delete;

    /// Passes on what it can.
    void pump();
    void on_fetched(PayloadBody& body) { in_.on_fetched(body); }
    [[nodiscard]] std::uint16_t channel() const noexcept { return out_.number(); }
    [[nodiscard]] BrokerView view() const noexcept;

private:
    void pass_on();
    void give_back();
    void end();

    PassBy by_;
    ChannelStatus received_;
    ChannelStatus sent_;
    ReadyQueue ready_{256};
    InChannel in_;
    OutChannel out_;
    std::uint64_t seen_ = 0;       // tickets when it last looked
    std::uint64_t gave_back_ = 0;  // in ticks
    std::uint64_t bytes_ = 0;      // of blobs that it had in its hands
    bool has_ended_ = false;
    bool is_over_ = false;
};

}  // namespace penstock
