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

/// Notices peers that died while nothing was under way to them: libfabric reports a broken connection only to what uses
/// it. So there is always a read of a few bytes from each peer under way, or soon will be. It needs no answer of the
/// peer's program, however long that computes; it fails when its process is gone.
class Watch {
public:
    Watch(Wire& wire, const std::vector<RemoteArena>& arenas, Rank self);

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

    struct One {
        Operation operation;
        bool is_under_way = false;
    };
    void begin(Rank rank);

    Wire& wire_;
    const std::vector<RemoteArena>& arenas_;
    Rank self_;
    std::vector<std::uint64_t> into_;  // by rank
    Region region_;
    std::deque<One> all_;  // by rank
    SteadyClock::time_point next_ = SteadyClock::time_point::max();
};

}  // namespace penstock::ofi
