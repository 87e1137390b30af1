#include <mutex>
#include <utility>

#include <penstock/runner.hpp>

#include "base/quote.hpp"
#include "calls/session.hpp"
#include "launch/job_launch.hpp"

namespace penstock {
namespace {

[[nodiscard]] Plan plan_of(const Graph& graph) {
    Registry known = graph.registry();
    declare_call_stages(known);
    const PipelineSpec spec = graph.spec();
    const auto check = [&](std::string_view end, std::string_view what) {
        for (const StageSpec& stage : spec.stages) {
            if (stage.name == end) return;
        }
        throw Error{Errc::invalid_input,
                    "graph " + in_quotes(graph.name()) + " has no edge without " + std::string{what} +
                        ": there is no way to call it; add one, such as edge(" + in_quotes(end) + ", ...)"};
    };
    check(Graph::start, "a driver");
    check(Graph::done, "a load");
    return make_plan(spec, known);
}

void check_launch(const RunnerOptions& options) {
    const RunOptions& run = options.run;
    if (resolved(run.launch) != Launch::local) {
        throw Error{Errc::unsupported,
                    "a runner starts processes of its own and cannot use the ranks of a job; "
                    "start the program without mpirun, or set RunOptions::launch to local"};
    }
    if (run.transport == TransportKind::mpi) {
        throw Error{Errc::unsupported, "a runner's processes share memory; choose transport 'auto' or 'shm'"};
    }
    if (options.most_in_flight == 0) throw Error{Errc::invalid_input, "most_in_flight must be at least 1"};
}

}  // namespace

struct Runner::State {
    State(const Graph& graph, const RunnerOptions& its_options)
        : name{graph.name()}, plan{plan_of(graph)}, registry{graph.registry()}, options{its_options} {}

    /// @throws Error{disconnected} before the first `serve`.
    [[nodiscard]] std::shared_ptr<Session> session() {
        const std::lock_guard lock{mutex};
        if (current) return current;
        throw Error{Errc::disconnected, "graph " + in_quotes(name) + " is not served; call Runner::serve first"};
    }

    std::string name;
    Plan plan;
    Registry registry;
    RunnerOptions options;
    std::mutex mutex;
    std::shared_ptr<Session> current;
};

PendingCall::PendingCall(std::shared_ptr<Session> session, Call& call) noexcept
    : session_{std::move(session)}, call_{&call} {}

PendingCall::PendingCall(PendingCall&& other) noexcept = default;

PendingCall& PendingCall::operator=(PendingCall&& other) noexcept {
    std::swap(session_, other.session_);
    std::swap(call_, other.call_);
    return *this;
}

PendingCall::~PendingCall() {
    if (session_) session_->table().release(call_);
}

bool PendingCall::ready() const {
    return !session_ || session_->table().has_ended(*call_);
}

Payload PendingCall::get() {
    if (!session_) throw Error{Errc::invalid_input, "the answer was taken already"};
    const PendingCall ended = std::move(*this);
    return ended.session_->finish(*ended.call_);
}

Runner::Runner(const Graph& graph, RunnerOptions options) {
    check_launch(options);
    state_ = std::make_unique<State>(graph, options);
}

Runner::Runner(Runner&&) noexcept = default;

Runner::~Runner() {
    if (state_ && state_->current) static_cast<void>(stop(state_->options.drain));
}

void Runner::serve(bool background) {
    std::shared_ptr<Session> session;
    std::shared_ptr<Session> ended;
    {
        const std::lock_guard lock{state_->mutex};
        if (state_->current && !state_->current->over()) {
            throw Error{Errc::invalid_input, "graph " + in_quotes(state_->name) + " is served already"};
        }
        session = std::make_shared<Session>(state_->plan, state_->registry, state_->options);
        ended = std::exchange(state_->current, session);
    }
    session->start(!background);
    if (background) return;
    session->wait();
    if (const auto error = failure_of(session->stop(std::chrono::milliseconds{0}))) throw Error{*error};
}

bool Runner::serving() const {
    const std::lock_guard lock{state_->mutex};
    return state_->current && state_->current->serving();
}

RawDraft Runner::draft(DType dtype, const Shape& shape) {
    return state_->session()->draft(dtype, shape);
}

Payload Runner::call(RawDraft draft, std::chrono::nanoseconds timeout) {
    return call({}, std::move(draft), timeout);
}

Payload Runner::call(std::string_view edge, RawDraft draft, std::chrono::nanoseconds timeout) {
    return async_call(edge, std::move(draft), timeout).get();
}

PendingCall Runner::async_call(RawDraft draft, std::chrono::nanoseconds timeout) {
    return async_call({}, std::move(draft), timeout);
}

PendingCall Runner::async_call(std::string_view edge, RawDraft draft, std::chrono::nanoseconds timeout) {
    std::shared_ptr<Session> session = state_->session();
    Call& call = session->begin(edge, std::move(draft), timeout);
    return PendingCall{std::move(session), call};
}

RunResult Runner::stop(std::chrono::milliseconds drain) {
    return state_->session()->stop(drain);
}

CallCounts Runner::counts() const {
    const std::lock_guard lock{state_->mutex};
    return state_->current ? state_->current->table().counts() : CallCounts{};
}

std::string Runner::run_dir() const {
    const std::lock_guard lock{state_->mutex};
    return state_->current ? state_->current->run_dir() : std::string{};
}

}  // namespace penstock
