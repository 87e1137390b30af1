#include "calls/session.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include <sys/prctl.h>

#include "base/deadline.hpp"
#include "base/format.hpp"
#include "base/quote.hpp"
#include "launch/local_processes.hpp"
#include "launch/run_directory.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {
namespace {

constexpr std::chrono::milliseconds patience_after_success{10'000};
constexpr std::chrono::milliseconds patience_after_failure{1'000};
constexpr std::chrono::milliseconds snapshot_comes_within{100};

void leave_signals_to_other_threads() {
    sigset_t all{};
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

}  // namespace

Session::Session(Plan plan, const Registry& registry, const RunnerOptions& options)
    : plan_{std::move(plan)},
      options_{options},
      start_rank_{stage(Graph::start).first_rank},
      done_rank_{stage(Graph::done).first_rank},
      table_{options.most_in_flight},
      drafts_{std::make_shared<CallDrafts>(start_rank_, [this](std::uint64_t id) { table_.settle(id); })},
      answers_{std::make_shared<Answers>()},
      ports_{.table = table_,
             .queue = queue_,
             .drafts = *drafts_,
             .answers = *answers_,
             .on_going = [this] { set_state(State::serving); },
             .on_closed = [this] { control_.stop(); }},
      registry_{registry} {
    add_call_stages(registry_, ports_);
    // Who yields on a crowded node waits until others have used up their time; who sleeps is woken before them. A
    // stream does not mind, a call passes four such places.
    const bool crowded = plan_.ranks() + 1 > std::thread::hardware_concurrency();  // and the caller
    if (options_.run.idle == Idle::adaptive && crowded) options_.run.idle = Idle::block;
}

Session::~Session() {
    if (coordinator_.joinable()) static_cast<void>(stop(std::chrono::milliseconds{0}));
}

const PlannedStage& Session::stage(std::string_view name) const {
    return *std::ranges::find(plan_.stages, name, &PlannedStage::name);
}

void Session::start(bool takes_signals) {
    coordinator_ = std::thread{[this, takes_signals] { run(takes_signals); }};
    std::unique_lock lock{mutex_};
    // Bounded by RunOptions::start_timeout.
    changed_.wait(lock, [&] { return state_ == State::serving || state_ == State::over; });
    if (state_ != State::over) return;
    lock.unlock();
    join();
    if (const auto error = failure_of(result_)) throw Error{*error};
}

void Session::wait() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return state_ == State::over; });
}

RunResult Session::stop(std::chrono::milliseconds drain) {
    {
        const std::lock_guard lock{mutex_};
        state_ = std::max(state_, State::stopping);
    }
    queue_.close();
    const auto is_over = [&] { return state_ == State::over; };
    std::unique_lock lock{mutex_};
    if (!changed_.wait_until(lock, deadline_in(drain), is_over)) {
        lock.unlock();
        kills_ = true;
        control_.abort({Errc::timed_out, "stopped with " + std::to_string(table_.counts().in_flight) +
                                             " calls in the graph after " + format_duration(drain) + "\n" +
                                             whereabouts()});
        lock.lock();
        changed_.wait(lock, is_over);  // bounded: what does not leave is killed
    }
    lock.unlock();
    join();
    return result_;
}

/// REQUIRES: it is over.
void Session::join() {
    const std::lock_guard lock{join_mutex_};
    if (coordinator_.joinable()) coordinator_.join();
}

/// The coordinator's thread: the processes are its children and end with it.
void Session::run(bool takes_signals) noexcept {
    prctl(PR_SET_NAME, "coordinator");
    RunResult result;
    try {
        result = coordinate(takes_signals);
    } catch (const Error& error) {
        result = {.exit_code = exit_code(error.code()), .error = error.what()};
    } catch (const std::exception& error) {
        result = {.exit_code = exit_code(Errc::internal), .error = "internal error: " + std::string{error.what()}};
    }
    end(std::move(result));
}

RunResult Session::coordinate(bool takes_signals) {
    const RunDirectory directory = RunDirectory::create(options_.run.runs_dir, plan_.pipeline);
    {
        const std::lock_guard lock{mutex_};
        run_dir_ = directory.path();
    }
    const RunContext run{
        .plan = plan_,
        .registry = registry_,
        .options = options_.run,
        .directory = directory,
        .launched_by = "local processes, of which START and DONE are threads",
        .control = &control_,
        .takes_signals = takes_signals,
        .on_snapshot =
            [this](const RunSnapshot& snapshot) {
                const std::lock_guard lock{mutex_};
                snapshot_ = snapshot;
                ++snapshots_;
                changed_.notify_all();
            },
    };
    LocalProcesses processes{plan_.ranks(),
                             options_.run.start_timeout,
                             [&](Rank rank) { return plan_.label(rank); },
                             [&](Rank rank, Bootstrap& bootstrap) { return run_rank(run, rank, bootstrap); },
                             {.ranks = {start_rank_, done_rank_}, .abandon = &abandoned_}};
    if (!takes_signals) leave_signals_to_other_threads();
    const RunSnapshot last = run_coordinator(run, processes, processes);
    RunResult result = result_of(run, last);
    set_state(State::stopping);
    table_.end(why_over(result));
    processes.reap(kills_                ? std::chrono::milliseconds{0}
                   : last.exit_code == 0 ? patience_after_success
                                         : patience_after_failure);
    return result;
}

int Session::run_rank(const RunContext& run, Rank rank, Bootstrap& bootstrap) {
    if (rank != start_rank_ && rank != done_rank_) return run_instance(run, bootstrap);
    LentBodies& bodies = rank == start_rank_ ? static_cast<LentBodies&>(*drafts_) : *answers_;
    const Hosting hosting{.on_arena = [&](std::shared_ptr<Arena> arena) { bodies.set_memory(std::move(arena)); },
                          .on_end = [&] { bodies.on_end(); },
                          .abandoned = abandoned_};
    return run_instance(run, bootstrap, &hosting);
}

void Session::end(RunResult result) {
    queue_.close();
    drafts_->close();
    answers_->close();
    table_.end(why_over(result));
    const std::lock_guard lock{mutex_};
    result_ = std::move(result);
    state_ = State::over;
    changed_.notify_all();
}

void Session::set_state(State state) {
    const std::lock_guard lock{mutex_};
    if (state_ < state) state_ = state;
    changed_.notify_all();
}

Error Session::why_over(const RunResult& result) const {
    if (auto error = failure_of(result)) return *error;
    return Error{Errc::disconnected, "graph " + in_quotes(plan_.pipeline) + " is not served any more" +
                                         (result.error.empty() ? "" : ": " + result.error)};
}

RawDraft Session::draft(DType dtype, const Shape& shape) {
    {
        const std::lock_guard lock{mutex_};
        if (state_ == State::over) throw Error{why_over(result_)};
        if (state_ != State::serving) {
            throw Error{Errc::disconnected, "graph " + in_quotes(plan_.pipeline) + " is not served any more"};
        }
    }
    return RawDraft{drafts_->make(dtype, shape, deadline_in(options_.memory_timeout))};
}

std::string_view Session::input_named(std::string_view edge) const {
    std::string names;
    for (const std::uint16_t channel : stage(Graph::start).outputs) {
        const std::string& name = plan_.channels[channel].name;
        if (name == edge) return name;
        names += (names.empty() ? "" : ", ") + in_quotes(name);
    }
    throw Error{Errc::invalid_input, "graph " + in_quotes(plan_.pipeline) + " is not called through " +
                                         in_quotes(edge) + "; its edges without a driver are " + names};
}

Call& Session::begin(std::string_view edge, RawDraft draft, std::chrono::nanoseconds timeout) {
    const std::string_view input = edge.empty() ? edge : input_named(edge);
    if (draft.body() == nullptr || draft.body()->home != drafts_.get()) {
        throw Error{Errc::invalid_input, "a call takes a draft of this runner, made since it serves and not sent yet"};
    }
    PayloadBody& body = *draft.body();
    Call& call = *table_.begin(deadline_in(timeout), body.has_user_id ? std::optional{body.user_id} : std::nullopt);
    body.user_id = call.id;
    body.has_user_id = true;
    if (queue_.push({&body, input})) {
        static_cast<void>(draft.release());
    } else if (!serving_state()) {
        table_.fail(call.id, {Errc::disconnected, "graph " + in_quotes(plan_.pipeline) + " takes no more calls"});
    }
    return call;
}

Payload Session::finish(Call& call) {
    if (!table_.wait(call)) {
        // The clock was read once more for the begin than for the deadline.
        const auto waited = std::chrono::ceil<std::chrono::milliseconds>(call.deadline - call.begun);
        table_.give_up(call, {Errc::timed_out, "no answer within " + format_duration(waited) + "\n" + whereabouts()});
    }
    return table_.result(call);
}

/// What every node is at.
std::string Session::whereabouts() {
    std::unique_lock lock{mutex_};
    const std::uint64_t before = snapshots_;
    lock.unlock();
    control_.look();
    lock.lock();
    changed_.wait_for(lock, snapshot_comes_within, [&] { return snapshots_ != before || state_ == State::over; });
    return waiting_report(plan_, snapshot_);
}

bool Session::serving() {
    return serving_state() && !queue_.is_closed();
}

/// Also true while the run ends by itself: its end fails every call, with the reason.
bool Session::serving_state() {
    const std::lock_guard lock{mutex_};
    return state_ == State::serving;
}

bool Session::over() {
    const std::lock_guard lock{mutex_};
    return state_ == State::over;
}

std::string Session::run_dir() {
    const std::lock_guard lock{mutex_};
    return run_dir_;
}

}  // namespace penstock
