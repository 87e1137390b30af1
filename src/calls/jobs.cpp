#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include <penstock/jobs.hpp>

#include "base/clock.hpp"
#include "base/cores.hpp"
#include "base/deadline.hpp"
#include "base/format.hpp"
#include "calls/kernel_worker.hpp"

namespace penstock {
namespace {

constexpr std::size_t smallest_chunk_bytes = 64U << 10U;

struct Job {
    std::uint64_t id = 0;
    int priority = 0;
    std::string kernel = {};
    JobData data = {};
    JobState state = JobState::pending;
    int losses = 0;  // of the worker under it
    JobData result = {};
    std::optional<Error> failure = {};
    std::condition_variable changed = {};

    [[nodiscard]] bool ended() const noexcept { return state != JobState::pending && state != JobState::running; }
};

[[nodiscard]] int workers_of(const JobOptions& options) {
    if (options.workers > 0) return options.workers;
    return std::max(static_cast<int>(usable_cores()), 1);
}

/// A queue of one payload for each worker: what a busy worker would hold, a free one could do.
[[nodiscard]] Graph pool_graph(const Registry& kernels, int workers) {
    Graph graph{"jobs", kernels};
    add_kernel_worker(graph.registry(), kernels);
    graph.node("worker", std::string{kernel_worker}, {}, workers);
    graph.edge(ChannelSpec{.name = std::string{Graph::start}, .from = {}, .to = "worker", .capacity = 1});
    graph.edge(std::string{Graph::done}, "worker", {});
    return graph;
}

[[nodiscard]] RunnerOptions pool_options(RunnerOptions options) {
    options.run.stall_timeout = std::chrono::milliseconds{0};  // JobOptions::longest bounds a job
    return options;
}

}  // namespace

std::string_view name_of(JobState state) noexcept {
    switch (state) {
        case JobState::pending: return "pending";
        case JobState::running: return "running";
        case JobState::completed: return "completed";
        case JobState::failed: return "failed";
        case JobState::cancelled: return "cancelled";
    }
    return "unknown";
}

void JobData::check_dtype(DType asked) const {
    if (dtype == asked) return;
    throw Error{Errc::invalid_input, "data of dtype '" + std::string{name_of(dtype)} + "' was read as '" +
                                         std::string{name_of(asked)} + "'"};
}

struct Jobs::State {
    State(const JobOptions& its_options, const Registry& its_kernels);
    ~State();
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    // A lane is a thread that does one job after the other. There are as many as workers.
    [[nodiscard]] std::shared_ptr<Job> take();
    void run(Job& job);
    [[nodiscard]] JobData call(const Job& job);
    [[nodiscard]] std::uint64_t served_pool();
    void discard_pool(std::uint64_t generation);

    // With the mutex held:
    [[nodiscard]] Job& find(std::uint64_t id) const;
    void end(Job& job, JobState state);
    void lose_worker(Job& job, const Error& error);

    const JobOptions options;
    const Registry kernels;
    const int workers;

    std::mutex mutex;  // for what follows
    std::condition_variable work;
    std::map<std::uint64_t, std::shared_ptr<Job>> jobs;
    std::set<std::pair<int, std::uint64_t>> pending;  // -priority and id
    JobCounts counts;
    std::uint64_t last_id = 0;
    bool one_runs_alone = false;
    bool closing = false;

    std::mutex pool_mutex;  // for starting and stopping it
    Runner pool;
    std::uint64_t generation = 0;

    std::vector<std::thread> lanes;
};

Jobs::State::State(const JobOptions& its_options, const Registry& its_kernels)
    : options{its_options},
      kernels{its_kernels},
      workers{workers_of(options)},
      pool{pool_graph(kernels, workers), pool_options(options.runner)} {
    static_cast<void>(served_pool());
    for (int i = 0; i < workers; ++i) {
        lanes.emplace_back([this] {
            while (const auto job = take()) run(*job);
        });
    }
}

Jobs::State::~State() {
    std::chrono::milliseconds drain = options.runner.drain;
    {
        const std::lock_guard lock{mutex};
        closing = true;
        if (counts.running > 0) drain = std::chrono::milliseconds{0};
        for (const auto& entry : jobs) {
            if (!entry.second->ended()) end(*entry.second, JobState::cancelled);
        }
        work.notify_all();
    }
    {
        const std::lock_guard lock{pool_mutex};
        static_cast<void>(pool.stop(drain));
    }
    for (std::thread& lane : lanes) lane.join();
}

/// The next job, once there is one; none when it is closing. One that has lost its worker runs alone.
std::shared_ptr<Job> Jobs::State::take() {
    std::unique_lock lock{mutex};
    const auto may_start = [&] {
        if (pending.empty() || one_runs_alone) return false;
        return find(pending.begin()->second).losses == 0 || counts.running == 0;
    };
    work.wait(lock, [&] { return closing || may_start(); });
    if (closing) return nullptr;
    std::shared_ptr<Job> job = jobs.at(pending.begin()->second);
    pending.erase(pending.begin());
    job->state = JobState::running;
    one_runs_alone = job->losses > 0;
    --counts.pending;
    ++counts.running;
    return job;
}

void Jobs::State::run(Job& job) {
    JobData result;
    std::optional<Error> failure;
    bool lost_worker = false;
    const auto begun = SteadyClock::now();
    try {
        const std::uint64_t used = served_pool();
        try {
            result = call(job);
        } catch (const Error& error) {
            const bool took_too_long = SteadyClock::now() - begun >= options.longest;
            lost_worker = !took_too_long && (error.code() == Errc::disconnected || !pool.serving());
            if (took_too_long) discard_pool(used);  // the worker is at it still
            throw;
        }
    } catch (const Error& error) {
        failure = error;
    } catch (const std::bad_alloc&) {
        failure = Error{Errc::exhausted, "no memory for the data of the job; submit smaller ones"};
    }
    const std::lock_guard lock{mutex};
    one_runs_alone = false;
    work.notify_all();
    if (lost_worker && !job.ended()) return lose_worker(job, *failure);
    job.data = {};
    if (job.ended()) return;  // cancelled
    job.result = std::move(result);
    job.failure = failure;
    end(job, failure ? JobState::failed : JobState::completed);
}

JobData Jobs::State::call(const Job& job) {
    auto draft = pool.draft(job.data.dtype, job.data.shape);
    if (draft.size_bytes() != job.data.bytes.size()) {
        throw Error{Errc::invalid_input, "the shape of the data and its size disagree"};
    }
    if (!job.data.bytes.empty()) std::memcpy(draft.bytes().data(), job.data.bytes.data(), draft.size_bytes());
    draft.set(kernel_key, std::string_view{job.kernel});
    const Payload answer = pool.call(std::move(draft), options.longest);
    if (const auto failure = answer.metadata().string(failure_key)) throw Error{Errc::failed, *failure};
    const auto blob = answer.bytes();
    return {answer.dtype(), answer.shape(), {blob.begin(), blob.end()}};
}

/// Starts the workers if there are none. @return which workers these are.
std::uint64_t Jobs::State::served_pool() {
    const std::lock_guard lock{pool_mutex};
    if (pool.serving()) return generation;
    {
        const std::lock_guard looking{mutex};
        if (closing) throw Error{Errc::disconnected, "the queue of jobs is closed"};
    }
    if (generation > 0) static_cast<void>(pool.stop(std::chrono::milliseconds{0}));
    ++generation;
    pool.serve();
    return generation;
}

void Jobs::State::discard_pool(std::uint64_t used) {
    const std::lock_guard lock{pool_mutex};
    if (used == generation) static_cast<void>(pool.stop(std::chrono::milliseconds{0}));
}

Job& Jobs::State::find(std::uint64_t id) const {
    const auto found = jobs.find(id);
    if (found != jobs.end()) return *found->second;
    throw Error{Errc::invalid_input,
                "no job " + std::to_string(id) + ": it was never submitted, or its result was taken"};
}

void Jobs::State::end(Job& job, JobState state) {
    --(job.state == JobState::pending ? counts.pending : counts.running);
    if (job.state == JobState::pending) {
        pending.erase({-job.priority, job.id});
        job.data = {};  // of one that runs the lane is reading
    }
    job.state = state;
    switch (state) {
        case JobState::completed: ++counts.completed; break;
        case JobState::failed: ++counts.failed; break;
        default: ++counts.cancelled; break;
    }
    job.changed.notify_all();
}

void Jobs::State::lose_worker(Job& job, const Error& error) {
    if (++job.losses > options.retries) {
        job.failure = Error{error};
        job.failure->add_context("running job " + std::to_string(job.id) + " for the " + std::to_string(job.losses) +
                                 ". time");
        return end(job, JobState::failed);
    }
    job.state = JobState::pending;
    pending.emplace(-job.priority, job.id);
    --counts.running;
    ++counts.pending;
    ++counts.requeued;
}

Jobs::Jobs(JobOptions options, const Registry& kernels) : state_{std::make_unique<State>(options, kernels)} {}

Jobs::~Jobs() = default;

std::uint64_t Jobs::submit(std::string_view kernel, JobData data, int priority) {
    static_cast<void>(kernel_params(state_->kernels, kernel));
    auto job = std::make_shared<Job>();
    job->priority = priority;
    job->kernel = kernel;
    job->data = std::move(data);
    const std::lock_guard lock{state_->mutex};
    job->id = ++state_->last_id;
    state_->pending.emplace(-priority, job->id);
    ++state_->counts.pending;
    state_->jobs.emplace(job->id, job);
    state_->work.notify_one();
    return job->id;
}

JobState Jobs::state(std::uint64_t job) const {
    const std::lock_guard lock{state_->mutex};
    return state_->find(job).state;
}

JobData Jobs::result(std::uint64_t id, std::chrono::nanoseconds timeout) {
    const auto deadline = deadline_in(timeout);
    std::unique_lock lock{state_->mutex};
    static_cast<void>(state_->find(id));
    const std::shared_ptr<Job> job = state_->jobs.at(id);
    if (!job->changed.wait_until(lock, deadline, [&] { return job->ended(); })) {
        throw Error{Errc::timed_out, "job " + std::to_string(id) + " is " + std::string{name_of(job->state)} +
                                         " after " + format_duration(timeout) + "; " +
                                         std::to_string(state_->counts.pending) + " jobs are pending"};
    }
    state_->jobs.erase(id);
    if (job->state == JobState::cancelled) {
        throw Error{Errc::disconnected, "job " + std::to_string(id) + " was cancelled"};
    }
    if (job->failure) {
        Error failure{*job->failure};
        failure.add_context("running kernel '" + job->kernel + "' of job " + std::to_string(id));
        throw failure;
    }
    return std::move(job->result);
}

bool Jobs::cancel(std::uint64_t job) {
    const std::lock_guard lock{state_->mutex};
    Job& found = state_->find(job);
    if (found.ended()) return false;
    state_->end(found, JobState::cancelled);
    return true;
}

JobCounts Jobs::counts() const {
    const std::lock_guard lock{state_->mutex};
    return state_->counts;
}

void Jobs::process_bytes(std::string_view kernel, Input range, Result results) {
    const std::size_t element = size_of(range.dtype);
    const std::size_t elements = range.bytes.size() / element;
    const auto lanes = static_cast<std::size_t>(state_->workers);
    const std::size_t share = (range.bytes.size() + 2 * lanes - 1) / (2 * lanes);
    const std::size_t chunk = std::max(
        std::clamp(share, smallest_chunk_bytes, std::max(state_->options.chunk_bytes, smallest_chunk_bytes)) / element,
        std::size_t{1});
    std::deque<std::uint64_t> under_way;
    std::size_t sent = 0;
    std::size_t gathered = 0;
    try {
        while (gathered < elements) {
            while (sent < elements && under_way.size() < 2 * lanes) {
                const auto blob = range.bytes.subspan(sent * element, std::min(chunk, elements - sent) * element);
                under_way.push_back(
                    submit(kernel, {range.dtype, Shape{blob.size() / element}, {blob.begin(), blob.end()}}));
                sent += blob.size() / element;
            }
            const JobData part = result(under_way.front(), longest_time);
            under_way.pop_front();
            const std::size_t expected = std::min(chunk, elements - gathered) * size_of(results.dtype);
            if (part.dtype != results.dtype || part.bytes.size() != expected) {
                throw Error{Errc::failed,
                            "kernel '" + std::string{kernel} + "' made " + std::to_string(part.bytes.size()) +
                                " bytes of '" + std::string{name_of(part.dtype)} + "', and not " +
                                std::to_string(expected) + " of '" + std::string{name_of(results.dtype)} + "'"};
            }
            std::memcpy(results.bytes.data() + gathered * size_of(results.dtype), part.bytes.data(), part.bytes.size());
            gathered += std::min(chunk, elements - gathered);
        }
    } catch (...) {
        const std::lock_guard lock{state_->mutex};
        for (const std::uint64_t id : under_way) {
            const auto found = state_->jobs.find(id);
            if (found == state_->jobs.end()) continue;
            if (!found->second->ended()) state_->end(*found->second, JobState::cancelled);
            state_->jobs.erase(found);
        }
        throw;
    }
}

}  // namespace penstock
