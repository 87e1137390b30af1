#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include <penstock/runtime.hpp>

#include "limits/measure.hpp"
#include "memory/arena.hpp"
#include "runtime/drafts.hpp"
#include "runtime/in_channel.hpp"
#include "runtime/out_channel.hpp"
#include "runtime/reactor.hpp"
#include "transports/make.hpp"

namespace penstock::bench {

/// One of two processes joined by a channel each way; the channels and all below them are the ones a run uses.
/// Channel 0 leads from rank 0 to rank 1, channel 1 back.
class Party {
public:
    struct Options {
        Idle idle = Idle::spin;
        std::uint32_t capacity = 1024;
        std::uint64_t arena_bytes = 256U << 20U;
        std::string transport = "auto";
        Bootstrap* world = nullptr;
    };
    Party(Bootstrap& bootstrap, const Options& options);

    [[nodiscard]] Reactor& reactor() noexcept { return reactor_; }
    /// A payload of that many bytes, its contents undefined.
    [[nodiscard]] PayloadBody* draft(std::size_t bytes) { return drafts_.make(DType::bytes, Shape{bytes}); }
    [[nodiscard]] static std::span<std::byte> bytes_of(PayloadBody* body) noexcept {
        return {const_cast<std::byte*>(body->data), static_cast<std::size_t>(body->size_bytes)};
    }
    void publish(PayloadBody* body) { out_.publish(body); }
    /// The next payload, or an empty one when the other side has sent END. Waits.
    [[nodiscard]] Payload receive();
    /// Settles it and returns its credit.
    void done(Payload payload);
    /// Ends the outgoing stream, reads the incoming one to its end, and waits until everything is settled.
    void finish();

private:
    static ChannelShape shape(std::uint16_t number, Rank from, Rank to, const Options& options);

    Arena arena_;
    TransportSet transports_;
    Reactor reactor_;
    BodyPool bodies_;
    Drafts drafts_;
    ReadyQueue ready_{1024};
    ChannelStatus out_status_;
    ChannelStatus in_status_;
    OutChannel out_;
    InChannel in_;
};

/// Runs `first` as rank 0 in this process and `second` as rank 1 in a forked one, pinned if asked to. Where a world is
/// given, its two ranks play, and both call this.
void run_pair(const Party::Options& options, const std::optional<std::pair<int, int>>& cpus,
              const std::function<void(Party&)>& first, const std::function<void(Party&)>& second);

}  // namespace penstock::bench
