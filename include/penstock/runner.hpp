#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <penstock/graph.hpp>
#include <penstock/memory.hpp>
#include <penstock/runtime.hpp>

namespace penstock {

struct RunnerOptions {
    /// As for any run; the graph's processes are started from here, so `launch` cannot be `mpi`. On a node with less
    /// cores than instances `idle` is `block` where it would be `adaptive`.
    RunOptions run{.log_level = LogLevel::warn, .progress = false};
    /// Calls that may be in the graph at once; the next one waits. A call that timed out counts until the graph is
    /// done with it.
    std::size_t most_in_flight = 4096;
    /// `draft` waits that long for memory that unsettled calls hold.
    std::chrono::milliseconds memory_timeout{10'000};
    /// The destructor lets what is under way arrive for that long.
    std::chrono::milliseconds drain{5'000};
};

/// What has become of the calls, since `serve`.
struct CallCounts {
    std::uint64_t begun = 0;
    std::uint64_t answered = 0;
    std::uint64_t failed = 0;     ///< Timed out or without an answer, too.
    std::uint64_t in_flight = 0;  ///< In the graph now.
    std::uint64_t unasked = 0;    ///< Answers that nobody waited for: late, second, or of no call.
};

class Session;
struct Call;

/// An answer that is still to come. Move-only; dropping it gives the call up.
class PendingCall {
public:
    PendingCall(PendingCall&& other) noexcept;
    PendingCall& operator=(PendingCall&& other) noexcept;
    ~PendingCall();

    /// Whether `get` would return or throw at once.
    [[nodiscard]] bool ready() const;
    /// Waits for the answer, until the call's timeout. To be called once.
    /// @throws Error as `Runner::call` does.
    [[nodiscard]] Payload get();

    /// For the runner.
    PendingCall(std::shared_ptr<Session> session, Call& call) noexcept;

private:
    std::shared_ptr<Session> session_;  // null when the answer was taken
    Call* call_;
};

/// A graph that stays up and answers calls. Everything but `serve` may be used by many threads at once.
///
///     Runner runner{graph};
///     runner.serve();
///     auto question = runner.draft<double>(100);   // memory that the graph reads from
///     ...
///     const Payload answer = runner.call(std::move(question), 5s);
///     runner.stop();
///
/// The nodes are processes; START, DONE and the coordinator are threads of this one.
class Runner {
public:
    /// @throws Error{invalid_input} if the graph is wrong or has no open ends, Error{unsupported} in an MPI job.
    explicit Runner(const Graph& graph, RunnerOptions options = {});
    /// Stops; gives up what does not arrive in time.
    ~Runner();
    Runner(Runner&&) noexcept;
    Runner& operator=(Runner&&) = delete;

    /// Starts the graph. Returns when every node is ready, or, without `background`, when SIGINT or SIGTERM has stopped
    /// it or another thread did. The processes are made by fork: other threads of the program should rest meanwhile.
    /// After `stop` or a failure it may be called again.
    /// @throws Error when a node cannot start, and in the foreground when the graph fails.
    void serve(bool background = true);
    [[nodiscard]] bool serving() const;

    /// Memory for a payload to call with, in the graph's shared memory: what is written there is not copied again.
    /// @throws Error{disconnected} unless it serves, Error{exhausted} if calls hold all memory for too long.
    template <Wire T>
    [[nodiscard]] Draft<T> draft(const Shape& shape) {
        return Draft<T>{draft(dtype_of<T>(), shape)};
    }
    template <Wire T>
    [[nodiscard]] Draft<T> draft(std::size_t count) {
        return Draft<T>{draft(dtype_of<T>(), Shape{count})};
    }
    [[nodiscard]] RawDraft draft(DType dtype, const Shape& shape);

    /// Sends the draft into the graph and waits for what comes out of it.
    ///
    /// An answer of more than 256 bytes lies in the memory of the node that made it, which cannot use it again before
    /// the last handle to it is gone. Handles may be kept after `stop`. The answer has the user id of the draft.
    /// @throws Error{timed_out} that says what every node is at, Error{failed} if the graph is done with it and has
    /// not answered, whatever the graph failed of, Error{disconnected} if it does not serve.
    [[nodiscard]] Payload call(RawDraft draft, std::chrono::nanoseconds timeout);
    /// The same through the edge of that name only; otherwise through every edge without a driver.
    [[nodiscard]] Payload call(std::string_view edge, RawDraft draft, std::chrono::nanoseconds timeout);

    /// The same without waiting for the answer; waits while `most_in_flight` calls are in the graph, as a part of the
    /// timeout.
    [[nodiscard]] PendingCall async_call(RawDraft draft, std::chrono::nanoseconds timeout);
    [[nodiscard]] PendingCall async_call(std::string_view edge, RawDraft draft, std::chrono::nanoseconds timeout);

    /// Takes no more calls, lets those under way arrive for that long, then kills. Leaves no process behind.
    /// @return how the run ended; also when it had ended before.
    RunResult stop(std::chrono::milliseconds drain = std::chrono::milliseconds{5'000});

    [[nodiscard]] CallCounts counts() const;
    /// Of the present run or the last one; empty before the first.
    [[nodiscard]] std::string run_dir() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock
