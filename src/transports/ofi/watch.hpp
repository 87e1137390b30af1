#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "base/clock.hpp"
#include "transports/ofi/endpoint.hpp"
#include "transports/ofi/wire.hpp"

namespace penstock::ofi {

/// An arena of another process, as a read sees it.
struct RemoteArena {
    std::uint64_t begin = 0;  ///< Where addresses begin.
    std::uint64_t key = 0;
    std::uint64_t bytes = 0;
};
/// By rail, then by rank.
using RemoteArenas = std::vector<std::vector<RemoteArena>>;

/// Notices peers that died while nothing was under way to them, and rails that broke: libfabric reports a broken
/// connection only to what uses it. So there is always a read of a few bytes from each peer on each rail under way, or
/// soon will be. It needs no answer of the peer's program, however long that computes; it fails when its process is
/// gone. A rail that is silent while the first one answers again and again is broken, too: a cable that was cut is
/// reported by nobody.
class Watch {
public:
    Watch(Wire& wire, const RemoteArenas& arenas, Rank self);

    /// Begins the reads that are due. @param wanted  By rank: whether it is to be watched.
    template <class Wanted>
    void look(Wanted&& wanted) {
        const auto now = SteadyClock::now();
        if (now < next_) return;
        next_ = now + period;
        for (Rank rank = 0; rank < wire_.ranks(); ++rank) {
            if (wanted(rank)) begin(rank);
        }
    }
    void on_completed(const Completion& completion);
    [[nodiscard]] SteadyClock::time_point next() const noexcept { return next_; }

private:
    static constexpr std::chrono::seconds period{1};
    /// Of the first rail, one in a period at most.
    static constexpr std::uint32_t answers_until_silence_counts = 6;

    struct One {
        Operation operation;
        bool is_under_way = false;
        std::uint32_t answers = 0;    ///< So many were there.
        std::uint32_t first_had = 0;  ///< So many had the first rail when this began.
    };
    struct Lane {
        std::vector<std::uint64_t> into;  // by rank
        Region region;
        std::deque<One> all;  // by rank
    };
    void begin(Rank rank);
    void begin(Rank rank, Lane& lane);

    Wire& wire_;
    const RemoteArenas& arenas_;
    Rank self_;
    std::vector<Lane> lanes_;  // by rail
    SteadyClock::time_point next_ = SteadyClock::time_point::max();
};

}  // namespace penstock::ofi
