#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <mpi.h>

#include "transports/frame_buffer.hpp"
#include "transports/losses.hpp"
#include "transports/mpi/requests.hpp"
#include "transports/transport.hpp"

namespace penstock::mpi {

/// Frames to one peer. They gather in an open buffer; a buffer is sent when it is full enough or when it is flushed.
/// While all the others are on their way, frames go on gathering in the last one.
///
/// Messages are matched in the order of sending. So one that completes only when it is matched (MPI_Issend) says that
/// all before it are, too, and no more of them than a window ever wait at a receiver that does not keep up.
class Outbox {
public:
    Outbox(MPI_Comm comm, Rank peer, Requests& requests, const Thresholds& thresholds)
        : comm_{comm}, peer_{peer}, requests_{requests}, thresholds_{thresholds} {}

    /// Empty while there is no room.
    [[nodiscard]] std::span<std::byte> reserve(std::size_t bytes);
    void commit();
    void flush();
    /// REQUIRES: `completed` is of this peer's `frames_out`. @return true if somebody was refused room before.
    bool on_sent(const Completed& completed);

    [[nodiscard]] bool drained() const noexcept { return on_way_ == 0 && buffers_[open_].empty(); }
    [[nodiscard]] bool sending() const noexcept { return on_way_ != 0; }

private:
    static constexpr std::size_t lanes = 4;

    /// Messages that the receiver may not have matched. One in `between_answers` waits until it has.
    static constexpr std::uint64_t window = 8;
    static constexpr std::uint64_t between_answers = 4;

    [[nodiscard]] bool may_send() const noexcept {
        return on_way_ < lanes - 1 && sent_ - matched_ < window && !buffers_[open_].empty();
    }
    void send();

    MPI_Comm comm_;
    Rank peer_;
    Requests& requests_;
    const Thresholds& thresholds_;
    std::array<FrameBuffer, lanes> buffers_;
    std::array<bool, lanes> busy_{};
    std::array<std::uint64_t, lanes> sequence_{};  ///< Of the message in it.
    std::uint64_t sent_ = 0;
    std::uint64_t matched_ = 0;
    std::size_t open_ = 0;
    std::size_t on_way_ = 0;
    bool flush_wanted_ = false;
    bool refused_ = false;
};

/// Messages with frames from one peer. They are received into a few buffers in turn, which MPI fills in that order.
class Inbox {
public:
    Inbox(MPI_Comm comm, Rank peer, Requests& requests, Losses& losses);

    /// Gives the frames of the messages that have arrived to `events`. @return the number of events.
    std::size_t on_arrived(const Completed& completed, TransportEvents& events);

private:
    static constexpr std::size_t lanes = 2;
    struct Lane {
        std::unique_ptr<std::byte[]> memory = std::make_unique_for_overwrite<std::byte[]>(buffer_bytes);
        Requests::Slot slot = 0;
        std::size_t bytes = 0;
        bool arrived = false;
    };

    std::size_t deliver(Lane& lane, TransportEvents& events);

    Rank peer_;
    Requests& requests_;
    Losses& losses_;
    std::array<Lane, lanes> receives_;
    std::size_t next_ = 0;
};

}  // namespace penstock::mpi
