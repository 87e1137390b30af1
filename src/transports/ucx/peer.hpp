#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <ucp/api/ucp.h>

#include "base/clock.hpp"
#include "transports/frame_buffer.hpp"
#include "transports/transport.hpp"
#include "transports/ucx/wire.hpp"

namespace penstock::ucx {

/// The way to one peer, opened when it is first used.
class Endpoint {
public:
    Endpoint(Wire& wire, Rank rank, std::string address) : wire_{wire}, rank_{rank}, address_{std::move(address)} {}
    ~Endpoint() { abandon(); }
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;

    /// Null when the peer cannot be reached, which is an event.
    [[nodiscard]] ucp_ep_h get();
    [[nodiscard]] bool is_open() const noexcept { return endpoint_ != nullptr; }
    /// Begins to close in order. @return UCX's request, or null.
    [[nodiscard]] ucs_status_ptr_t close() noexcept;
    /// Ends what is under way with an error.
    void abandon() noexcept;

private:
    static void on_error(void* self, ucp_ep_h endpoint, ucs_status_t status) noexcept;

    Wire& wire_;
    Rank rank_;
    std::string address_;
    ucp_ep_h endpoint_ = nullptr;
};

/// Frames to and from one peer.
///
/// Going out, they gather in an open buffer, which is sent when it is full enough or when it is flushed. A few buffers
/// may be on their way or unread by the peer; meanwhile frames go on gathering. Coming in, messages are put back into
/// the order of sending: UCX keeps none between short and long ones. So neither side ever stores more than the buffers.
class Peer {
public:
    enum class State : std::uint8_t {
        here,
        suspected,  ///< Its connection broke, and its goodbye may still be under way.
        left,       ///< It said goodbye.
        lost,
    };

    /// Messages that may be on their way or not read. A power of two: sequence numbers wrap.
    static constexpr std::uint32_t window = 4;

    Peer(Wire& wire, Rank number, std::string address)
        : endpoint{wire, number, std::move(address)}, rank{number}, wire_{wire} {}
    ~Peer() { leave(State::lost); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    /// Frames may come and go from now on.
    void connect();
    [[nodiscard]] bool connected() const noexcept { return lanes_ != nullptr; }

    // REQUIRES: connected.
    [[nodiscard]] std::span<std::byte> reserve(std::size_t bytes);
    void commit();
    void flush();
    [[nodiscard]] bool drained() const noexcept;
    [[nodiscard]] bool gone() const noexcept { return state == State::left || state == State::lost; }

    /// The peer has read that many messages. @return false if it cannot have.
    [[nodiscard]] bool on_acknowledged(std::uint32_t count);
    /// Takes a message with frames. @return false if it is none that may come.
    [[nodiscard]] bool on_message(const Event& event);
    /// Gives the frames that are next to `events`. @return false at the first that is broken.
    [[nodiscard]] bool deliver(TransportEvents& events, std::size_t& count);
    enum class Occasion : std::uint8_t {
        busy,  ///< More may come at once: what follows from it may tell the peer as well.
        idle,  ///< Nothing came: only frames that wait to be flushed will tell it.
        rest,  ///< Nothing is sent for a while.
    };
    /// Tells the peer how far we have read, if it was not told and nothing else tells it in time.
    void acknowledge(Occasion occasion);
    /// What was under way is given up.
    void leave(State how) noexcept;

    /// Asks the owner of a blob for it.
    void demand(std::uint64_t tag, std::uint64_t offset, std::uint64_t bytes);
    void say_goodbye();

    Endpoint endpoint;
    Rank rank;
    State state = State::here;
    ucs_status_t broken = UCS_OK;  ///< What its connection ended with.
    SteadyClock::time_point suspected_until{};

private:
    static constexpr std::size_t lanes = window + 1;

    struct Lane {
        FrameBuffer buffer;
        Head head;
        ucs_status_ptr_t request = nullptr;  ///< UCX still reads it.
    };
    using Lanes = std::array<Lane, lanes>;
    struct Arrived {
        void* data = nullptr;
        std::size_t bytes = 0;
    };

    [[nodiscard]] FrameBuffer& open_buffer() const noexcept { return (*lanes_)[open_].buffer; }
    [[nodiscard]] Lane* spare_lane() noexcept;
    void let_go(Lane& lane) noexcept;
    [[nodiscard]] bool may_send() noexcept;
    void send();
    /// Says how far we have read, too.
    [[nodiscard]] Head next_head() noexcept;

    Wire& wire_;
    std::unique_ptr<Lanes> lanes_;  // null until frames may be sent: most peers only fetch, or are never met
    std::size_t open_ = 0;
    std::uint32_t sent_ = 0;
    std::uint32_t acknowledged_ = 0;
    bool flush_wanted_ = false;
    std::array<Arrived, window> arrived_;  // by sequence
    std::uint32_t read_ = 0;
    std::uint32_t noted_ = 0;  // of `read_`: what the peer was told last
};

}  // namespace penstock::ucx
