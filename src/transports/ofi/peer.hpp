#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/clock.hpp"
#include "transports/frame_buffer.hpp"
#include "transports/ofi/credit.hpp"
#include "transports/ofi/frame_stream.hpp"
#include "transports/ofi/reorder.hpp"
#include "transports/ofi/wire.hpp"
#include "transports/transport.hpp"

namespace penstock::ofi {

/// Messages to and from one peer.
///
/// Frames going out gather in a buffer, which is a piece of a stream. When there is enough of it, or when it is
/// flushed, it is cut into messages that are numbered. What may be under way is bounded: the receiver has a buffer for
/// each. Coming in, messages are put back into the order of their numbers, and frames together that were cut. A message
/// counts as dealt with when its frames were delivered.
class Peer {
public:
    enum class State : std::uint8_t {
        here,
        suspected,  ///< It cannot be reached, and its goodbye may still be under way.
        left,       ///< It said goodbye.
        lost,
    };

    Peer(Wire& wire, Rank number) : rank{number}, wire_{wire}, pieces_{wire.window()} {}
    ~Peer() { leave(State::lost); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    /// Frames may come and go from now on.
    void connect();
    [[nodiscard]] bool connected() const noexcept { return buffer_ != nullptr; }
    /// It has its buffers: it connected, or something came from it.
    [[nodiscard]] bool is_met() const noexcept { return is_met_; }

    // REQUIRES: connected.
    [[nodiscard]] std::span<std::byte> reserve(std::size_t bytes);
    void commit();
    void flush();
    [[nodiscard]] bool drained() const noexcept;
    /// The peer has said that it has dealt with all that was sent.
    [[nodiscard]] bool is_read() const noexcept { return credit_.under_way() == 0; }
    [[nodiscard]] bool gone() const noexcept { return state == State::left || state == State::lost; }

    /// Sends what waits to be sent, as far as there is room.
    void go_on();

    /// What every message says. @return false if it cannot be.
    [[nodiscard]] bool on_head(const Head& head);
    /// Takes a piece of the stream of frames, which is kept if it is one that may come. @return whether it is.
    [[nodiscard]] bool on_frames(const Head& head, const Arrived& message);
    /// Gives the frames that are next to `events`. @return false at the first that is broken.
    [[nodiscard]] bool deliver(TransportEvents& events, std::size_t& count);
    /// A message that needed credit was dealt with.
    void on_dealt_with() noexcept { debt_.on_dealt_with(); }
    enum class Occasion : std::uint8_t {
        busy,  ///< What follows from a message may tell the peer as well, and before it has to stop it is told.
        rest,  ///< Nothing is sent for a while.
    };
    /// Tells the peer what was dealt with, if it was not told and nothing else tells it in time.
    void acknowledge(Occasion occasion);
    /// What was under way is given up.
    void leave(State how) noexcept;

    /// Asks the owner of a blob for a part of it. @return false: try again later.
    /// @param rail  On which it is to come.
    [[nodiscard]] bool demand(Kind kind, std::uint32_t rail, std::uint64_t tag, std::uint64_t offset,
                              std::uint64_t bytes);
    /// Sends a chunk of a blob. @return false: try again later.
    [[nodiscard]] bool send_chunk(std::uint32_t rail, std::uint64_t tag, std::uint64_t offset,
                                  std::span<const std::byte> bytes);
    /// @return false: try again later.
    [[nodiscard]] bool say_goodbye();

    Rank rank;
    State state = State::here;
    std::string broken;  ///< What it is suspected for.
    SteadyClock::time_point suspected_until{};

private:
    /// Of the window, what frames leave to demands: a fetch does not wait for frames that nobody reads.
    static constexpr std::uint32_t kept_for_demands = 2;

    /// Buffers for all that it may send from now on.
    void meet();
    [[nodiscard]] std::span<const std::byte> unsent() const noexcept { return buffer_->bytes().subspan(cut_); }
    [[nodiscard]] bool may_send_frames() const noexcept {
        return state == State::here && credit_.left() > kept_for_demands;
    }
    /// Sends messages from the buffer as long as there are `at_least` bytes in it.
    void send_frames(std::size_t at_least);
    [[nodiscard]] Head next_head(Kind kind) noexcept;

    Wire& wire_;
    std::unique_ptr<FrameBuffer> buffer_;  // null until frames may be sent: most peers only fetch, or are never met
    std::size_t cut_ = 0;                  // of the buffer: what was sent
    std::uint32_t next_piece_ = 0;
    bool flush_wanted_ = false;
    bool is_met_ = false;
    Credit credit_{Wire::first_window};
    Debt debt_{Wire::first_window};
    Reorder<Arrived> pieces_;
    FrameStream stream_;
};

}  // namespace penstock::ofi
