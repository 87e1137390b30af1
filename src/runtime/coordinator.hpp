#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <penstock/log.hpp>
#include <penstock/plan.hpp>
#include <penstock/runtime.hpp>

#include "memory/arena.hpp"
#include "runtime/broker.hpp"
#include "runtime/channel_leases.hpp"
#include "runtime/control.hpp"
#include "runtime/reactor.hpp"
#include "runtime/run_control.hpp"
#include "runtime/snapshot.hpp"
#include "runtime/stage_parking.hpp"

namespace penstock {

/// Who knows whether the processes of a run are alive. Implemented by each way of launching.
class Supervisor {
public:
    struct Lost {
        Rank rank;
        std::string how;  ///< "was killed by signal 9 (Killed)".
        /// Where not 0: it is this rank that has lost it, while rank 0 may reach both.
        Rank seen_by = 0;
    };
    virtual ~Supervisor() = default;
    /// What was lost since the last call.
    [[nodiscard]] virtual std::vector<Lost> lost() = 0;
};

/// Rank 0: sees that everybody starts, moves and ends, and says why when somebody does not. Passes on the tickets of
/// central channels; touches no blob but of those that are by value.
class Coordinator final : private FrameReceiver {
public:
    struct Setup {
        const Plan& plan;
        Reactor& reactor;
        Arena& arena;
        Logger& log;
        Supervisor& supervisor;
        const RunOptions& options;
        bool several_hosts = false;  ///< Whose clocks differ.
        std::vector<ThresholdsInUse> thresholds = {};
        std::string thresholds_file = {};                     ///< Where those are from that are measured.
        std::function<void(const RunSnapshot&)> on_snapshot;  ///< About once a second, and at every change of state.
        /// For a run that is a part of its process: other threads steer it, and signals are left alone unless
        /// `takes_signals`.
        RunControl* control = nullptr;
        bool takes_signals = true;
    };
    explicit Coordinator(Setup setup);
    ~Coordinator() override;

    /// From "everybody ready" to "bye" or "abort". Failures are in the result.
    RunSnapshot run();

private:
    struct Member {
        Transport* transport = nullptr;
        const std::byte* status = nullptr;  ///< Mapped; null where it comes in frames.
        StatusShape shape = {};
        std::vector<std::uint64_t> arriving = {};  ///< Words of a status that comes in parts.
        std::size_t arrived_bytes = 0;
    };

    void on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) override;
    void on_ready(Rank from, std::uint64_t offset);
    void on_status(Rank from, std::uint64_t offset, std::string_view part);
    void wait_for_all_ready();
    void open_channels();
    void keep_house();
    void watch_until_done();
    [[nodiscard]] std::chrono::nanoseconds recall_leases();
    void check_processes();
    void check_signals();
    void check_wishes();
    void check_stall();
    void set_timeouts();
    [[nodiscard]] std::chrono::nanoseconds time_to_timeout() const;
    void check_timeouts();
    void refresh();
    void stop(int signal);
    void fail(int exit_code, std::string text);
    void part();
    void broadcast(ControlCode code, std::uint64_t number = 0, std::string_view text = {});
    [[nodiscard]] std::string who(Rank rank) const;

    Setup setup_;
    SteadyClock::time_point start_ = SteadyClock::now();
    RunSnapshot run_;
    std::vector<Member> members_;                         // by rank - 1
    std::vector<std::unique_ptr<ChannelLeases>> leases_;  // of the channels that need some
    std::vector<StageParking> parking_;                   // of the stages that ask for it
    BodyPool bodies_;
    Drafts drafts_;
    std::vector<std::unique_ptr<Broker>> brokers_;  // of the central channels
    std::size_t ready_ = 0;
    std::size_t done_ = 0;
    std::uint64_t checked_ = 0;  // the processes, in ticks
    int stop_signal_ = 0;
    std::uint64_t moved_ = 0;
    std::uint64_t laps_ = 0;
    SteadyClock::time_point moved_at_{};
    SteadyClock::time_point looked_at_{};  // for a stall
    SteadyClock::time_point refreshed_{};

    struct StageTimeout {
        SteadyClock::time_point deadline;
        std::size_t stage;
    };
    std::vector<StageTimeout> timeouts_;  // of the stages that have one, the last one first
};

}  // namespace penstock
