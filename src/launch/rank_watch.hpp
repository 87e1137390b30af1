#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <penstock/plan.hpp>

#include "base/process_space.hpp"
#include "launch/host_links.hpp"
#include "launch/meeting.hpp"
#include "launch/process_identity.hpp"
#include "memory/arena.hpp"
#include "runtime/coordinator.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// How rank 0 of a job notices that another rank is gone, and they that rank 0 is, which MPI may not: the kernel tells
/// of a process of the same node, and the end of a TCP connection of one elsewhere. A rank that cannot connect goes
/// unwatched.
///
/// The kernels at both ends of a connection also ask each other for a sign of life, whatever the processes do: one
/// connection that stays silent tells of a host that is down or a link that is cut. Two hosts that exchange payloads,
/// neither of which is rank 0's, have a connection for that too: their link may be cut while both reach rank 0.
class RankWatch final : public Supervisor {
public:
    struct Setup {
        Bootstrap& bootstrap;
        const Plan& plan;
        /// Gets this rank's ends of the connections. They must outlive the orderly end of the job: closed before, they
        /// would say that this rank is gone.
        std::vector<File>& lines;
        std::chrono::milliseconds silence{0};  ///< That is too long; 0: never.
        /// Called on a thread of its own when rank 0 is gone, or has been silent for too long.
        std::function<void(const std::string& why, bool is_silent)> on_orphaned;
        std::string place = process_space();  ///< Ranks with the same text see the same process numbers.
        std::string host = host_name();
    };
    /// Collective.
    explicit RankWatch(const Setup& setup);
    ~RankWatch() override;

    [[nodiscard]] std::vector<Lost> lost() override;

    /// The run is over: ranks may end now, and `on_orphaned` is not called any more. Whoever goes on to wait for all
    /// others would wait for ever for one that is silent.
    /// @param on_silent  Called once, on a thread of its own.
    void watch_end(std::function<void(const std::string& why)> on_silent);
    /// At rank 0: a rank was lost while the run went on, and will not come to the end of the job.
    [[nodiscard]] bool has_lost_some() const noexcept { return has_lost_some_; }

    /// At rank 0: what is not watched, in words; empty if all is.
    [[nodiscard]] const std::string& unwatched() const noexcept { return unwatched_; }

private:
    struct Member {
        std::string place;
        std::string host;
        int pid = 0;
    };
    struct Watched {
        Rank rank;
        int file;  ///< A pidfd, or a connection.
        bool is_elsewhere;
    };

    [[nodiscard]] bool is_elsewhere(Rank rank) const;
    [[nodiscard]] std::vector<std::string> hosts() const;
    [[nodiscard]] std::vector<Rank> connect(const Setup& setup, const std::vector<Rank>& peers,
                                            const std::vector<std::string>& doors);
    void accept(const Setup& setup, const Meeting& meeting, const File& listener, std::size_t expected);
    void keep_asking(const File& line) const;
    void list_unwatched(const std::vector<std::string>& connected);
    void watch_run(const std::function<void(const std::string&, bool)>& on_orphaned) const;
    template <class Watch>
    void start_watch(Watch watch);
    void stop_watch();
    [[nodiscard]] std::string name(Rank rank) const;
    [[nodiscard]] std::string silence_of(Rank silent, Rank seen_by) const;
    void add_lost_links(Rank reporter, std::string_view report, std::vector<Lost>& lost) const;

    const Plan& plan_;
    std::chrono::milliseconds silence_;
    Rank self_;
    std::vector<Member> members_;
    std::optional<HostLinks> links_;
    std::vector<Watched> watched_;  // at rank 0 the others; elsewhere rank 0, if it can be, and the ends of links
    std::vector<File> processes_;   // pidfds
    std::string unwatched_;
    bool has_lost_some_ = false;
    File stop_;  // readable when the thread is to end
    std::thread watch_;
};

}  // namespace penstock
