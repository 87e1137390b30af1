#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <penstock/plan.hpp>
#include <penstock/runner.hpp>

#include "calls/call_stages.hpp"
#include "launch/run.hpp"
#include "runtime/run_control.hpp"

namespace penstock {

/// A graph that is up, from `serve` to `stop`: its processes, and the threads START, DONE and coordinator.
class Session {
public:
    /// @param plan  Has the stages START and DONE, an instance each.
    Session(Plan plan, const Registry& registry, const RunnerOptions& options);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Returns when every node is ready. @throws Error when one cannot start.
    void start(bool takes_signals);
    /// Waits until it is over, for whatever reason.
    void wait();
    [[nodiscard]] RunResult stop(std::chrono::milliseconds drain);

    [[nodiscard]] RawDraft draft(DType dtype, const Shape& shape);
    /// Takes the draft over. @return the call, held by the caller.
    [[nodiscard]] Call& begin(std::string_view edge, RawDraft draft, std::chrono::nanoseconds timeout);
    [[nodiscard]] Payload finish(Call& call);

    [[nodiscard]] CallTable& table() noexcept { return table_; }
    [[nodiscard]] bool serving();
    [[nodiscard]] bool over();
    [[nodiscard]] std::string run_dir();

private:
    enum class State : std::uint8_t { starting, serving, stopping, over };

    void run(bool takes_signals) noexcept;
    [[nodiscard]] RunResult coordinate(bool takes_signals);
    [[nodiscard]] int run_rank(const RunContext& run, Rank rank, Bootstrap& bootstrap);
    void join();
    [[nodiscard]] bool serving_state();
    void set_state(State state);
    void end(RunResult result);
    [[nodiscard]] Error why_over(const RunResult& result) const;
    [[nodiscard]] std::string whereabouts();
    [[nodiscard]] std::string_view input_named(std::string_view edge) const;
    [[nodiscard]] const PlannedStage& stage(std::string_view name) const;

    Plan plan_;
    RunnerOptions options_;
    Rank start_rank_;
    Rank done_rank_;
    CallTable table_;
    CallQueue queue_;
    std::shared_ptr<CallDrafts> drafts_;
    std::shared_ptr<Answers> answers_;
    RunControl control_;
    CallPorts ports_;
    Registry registry_;
    std::atomic<bool> abandoned_{false};
    std::atomic<bool> kills_{false};  // what does not leave at once

    std::mutex mutex_;  // for what follows
    std::condition_variable changed_;
    State state_ = State::starting;
    std::string run_dir_;
    RunResult result_;
    RunSnapshot snapshot_;
    std::uint64_t snapshots_ = 0;

    std::mutex join_mutex_;
    std::thread coordinator_;
};

}  // namespace penstock
