#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/cores.hpp"
#include "base/fifo.hpp"
#include "memory/arena.hpp"
#include "transports/thresholds.hpp"
#include "transports/transport.hpp"

namespace penstock::doctor {

/// What is streamed in one measurement.
struct Load {
    Thresholds thresholds;
    std::uint32_t bytes = 0;
    bool is_inline = false;
};

/// One end of the way between two ranks, over which rank 0 measures how fast payloads come from the other one.
class StreamEnd final : public TransportEvents {
public:
    static constexpr std::size_t store_bytes = std::size_t{64} << 20U;

    /// Two blocks of `store_bytes` each.
    struct Stores {
        Arena& arena;
        Block out;
        Block in;
    };

    /// @param patience  For an answer of the peer.
    StreamEnd(Transport& transport, Rank self, Rank peer, std::string peer_name, const Stores& stores,
              std::chrono::nanoseconds patience);

    // All throw Error{timed_out} or Error{disconnected} naming the peer.

    /// In rank 0. @return bytes per second.
    [[nodiscard]] double measure(const Load& load, std::chrono::nanoseconds time);
    /// In rank 0.
    void end();
    /// In the other rank: does what rank 0 says until it says that all is done. @param bound  Of a stream.
    void follow(std::chrono::nanoseconds bound);

    void on_frame(Rank from, std::span<const std::byte> frame) override;
    void on_fetched(std::uint64_t token, std::string_view error) override;
    void on_lost(Rank peer, std::string_view reason) override;

private:
    enum class Kind : std::uint32_t {
        stream,   ///< From rank 0: send payloads, as many as are granted.
        grant,    ///< From rank 0: that many more.
        stop,     ///< From rank 0: no more of this stream.
        stopped,  ///< So many were sent.
        payload,  ///< Its blob is in the arena, or follows.
        leave,    ///< From rank 0: this transport is done.
    };

    struct Message {
        Kind kind = Kind::leave;
        bool is_inline = false;
        std::uint64_t count = 0;
        BlobRef blob{};
        Thresholds thresholds{};
    };

    static constexpr std::size_t most_under_way = 1024;

    void begin(const Load& load);
    void take(const Message& message, std::span<const std::byte> bytes);
    void fetch();
    [[nodiscard]] std::byte* next_place() noexcept;
    void grant(std::uint64_t at_least);
    void produce();
    [[nodiscard]] bool try_send(const Message& message);
    void send(const Message& message);
    void idle();
    template <class Done>
    void wait_until(std::chrono::nanoseconds time, Done&& done);

    Transport& transport_;
    Rank self_;
    Rank peer_;
    std::string peer_name_;
    Stores stores_;
    std::chrono::nanoseconds patience_;
    Load load_{};
    std::uint64_t slots_ = 1;
    std::uint64_t next_slot_ = 0;
    std::uint64_t next_token_ = 1;
    Fifo<BlobRef> waiting_{most_under_way};
    std::uint64_t consumed_ = 0;
    std::uint64_t answered_ = 0;  // of those: granted again
    std::uint64_t fetching_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t granted_ = 0;
    std::optional<std::uint64_t> total_;  // as the peer says
    std::optional<Message> order_;
    bool stops_ = false;
    bool leaves_ = false;
    std::string lost_;
    SteadyClock::time_point last_event_ = SteadyClock::now();
    unsigned cores_ = usable_cores();
};

}  // namespace penstock::doctor
