#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "memory/arena.hpp"
#include "runtime/coordinator.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// How rank 0 of an MPI job notices that another rank is gone, and they that rank 0 is, which MPI may not: the kernel
/// tells of a process of the same node, and the end of a TCP connection of one elsewhere. A rank that cannot connect
/// goes unwatched.
class RankWatch final : public Supervisor {
public:
    /// Collective.
    /// @param lines  Gets this rank's ends of the connections. They must outlive the orderly end of the MPI job: closed
    /// before, they would say that this rank is gone.
    /// @param on_orphaned  Called on a thread of its own when rank 0 is gone.
    /// @param place  Ranks with the same text see the same process numbers.
    RankWatch(Bootstrap& bootstrap, std::vector<File>& lines, std::function<void()> on_orphaned,
              const std::string& place = process_space());
    ~RankWatch() override;

    [[nodiscard]] std::vector<Lost> lost() override;

    [[nodiscard]] static std::string process_space();

private:
    struct Watched {
        Rank rank;
        int file;  ///< A pidfd, or a connection.
        bool is_elsewhere;
    };

    void watch_first(int file, std::function<void()> on_orphaned);

    std::vector<Watched> watched_;
    std::vector<File> processes_;  // pidfds
    File stop_;                    // readable when the thread is to end
    std::thread orphan_watch_;
};

}  // namespace penstock
