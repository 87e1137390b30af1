#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/runtime.hpp>

#include "base/clock.hpp"
#include "runtime/frames.hpp"
#include "runtime/status.hpp"
#include "transports/make.hpp"
#include "transports/sleeper.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// The run was aborted; unwinds an instance. No std::exception, so that operators do not catch it by habit.
struct Interrupted {};

/// Who is interested in the frames of one channel, at one of its ends.
class FrameReceiver {
public:
    virtual ~FrameReceiver() = default;
    virtual void on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) = 0;
};

/// Moves everything that moves in one process: polls the transports in use, gives frames to whom they belong, and waits
/// cheaply when there is nothing to do. Used by one thread.
class Reactor final : private TransportEvents {
public:
    struct Options {
        Idle idle = Idle::adaptive;
        bool cores_to_spare = false;  ///< Every process of this node has a core of its own, so spinning harms nobody.
    };

    Reactor(const TransportSet& transports, Options options);

    /// Names ranks in messages.
    void set_labels(std::function<std::string(Rank)> label) { label_ = std::move(label); }

    /// Opens the way to a peer and polls its transport from now on.
    Transport& connect(Rank peer, std::string_view wanted);
    /// Polls the transport that leads there, so that the peer can fetch blobs from here though no frame passes.
    void watch(Rank peer, std::string_view wanted);
    [[nodiscard]] const TransportSet& transports() const noexcept { return transports_; }

    /// Frames of `channel` go to its receiving end (tickets, ends) and its sending end (returns, acknowledgements,
    /// leases); at the coordinator those about leases go to the former.
    void set_input(std::uint16_t channel, FrameReceiver* receiver);
    void set_output(std::uint16_t channel, FrameReceiver* receiver);
    void set_control(FrameReceiver* receiver) { control_ = receiver; }

    /// Called with the token of each fetch that has ended well; a failed one is thrown.
    void set_fetched(std::function<void(std::uint64_t)> fetched) { fetched_ = std::move(fetched); }
    /// Called after every poll that brought something, before the process blocks, and often while it waits: to pass on
    /// what was held back, to report, to notice signals.
    void set_housekeeping(std::function<void()> housekeeping) { housekeeping_ = std::move(housekeeping); }
    void set_status(StatusBlock* status) noexcept { status_ = status; }
    /// From now on `wait` and `send` throw Interrupted.
    void interrupt() noexcept { interrupted_ = true; }
    [[nodiscard]] bool interrupted() const noexcept { return interrupted_; }

    /// Delivers what has arrived. @return whether anything had.
    bool poll();
    /// One step of waiting: polls, and if nothing came, spins or sleeps for a bounded time.
    /// @throws Interrupted
    void wait(Activity activity, std::uint16_t channel,
              std::chrono::nanoseconds at_most = std::chrono::milliseconds{100});
    /// What was waited for is there: the operator goes on.
    void resume() noexcept {
        if (status_ != nullptr) status_->set_activity(Activity::operating, 0);
    }
    void flush();
    [[nodiscard]] bool drained() const;
    /// Ends a `wait`. Async-signal-safe.
    void wake() noexcept;

    /// Room for a frame, waiting for it if need be.
    [[nodiscard]] std::span<std::byte> reserve(Transport& transport, Rank peer, std::size_t bytes,
                                               std::uint16_t channel);
    /// The same without waiting: empty if there is none now. What makes room ends a `wait`.
    [[nodiscard]] std::span<std::byte> try_reserve(Transport& transport, Rank peer, std::size_t bytes);
    /// Sends one small frame.
    template <class Frame>
    void send(Transport& transport, Rank peer, Frame frame) {
        frame.head.frame_bytes = sizeof frame;
        std::memcpy(reserve(transport, peer, sizeof frame, frame.head.channel).data(), &frame, sizeof frame);
        transport.commit(peer);
    }

    [[nodiscard]] std::string label(Rank rank) const { return label_ ? label_(rank) : "rank " + std::to_string(rank); }
    /// @throws Error{disconnected} that names the peer.
    [[noreturn]] void protocol_error(Rank from, std::string_view what) const;

private:
    void on_frame(Rank from, std::span<const std::byte> frame) override;
    void on_fetched(std::uint64_t token, std::string_view error) override;
    void on_lost(Rank peer, std::string_view reason) override;
    void activate(Transport& transport);
    void idle(std::chrono::nanoseconds at_most);
    void sleep(std::chrono::nanoseconds at_most);
    void keep_house();

    const TransportSet& transports_;
    Options options_;
    std::function<std::string(Rank)> label_;
    std::vector<Transport*> active_;
    std::vector<FrameReceiver*> inputs_;
    std::vector<FrameReceiver*> outputs_;
    FrameReceiver* control_ = nullptr;
    std::function<void(std::uint64_t)> fetched_;
    std::function<void()> housekeeping_;
    StatusBlock* status_ = nullptr;
    bool interrupted_ = false;
    bool keeping_house_ = false;  // what it sends may wait and poll again
    bool unflushed_ = false;      // frames were sent since the last flush
    bool has_slept_ = false;      // and not kept house since
    Sleeper sleeper_;             // where several transports are in use
    std::uint32_t idles_ = 0;
    std::uint64_t kept_house_ = 0;  // when, in ticks
    std::uint32_t empty_polls_ = 0;
    SteadyClock::time_point idle_since_{};
};

}  // namespace penstock
