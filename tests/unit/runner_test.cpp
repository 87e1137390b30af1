#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/runner.hpp>

#include "base/clock.hpp"
#include "support/scratch_folder.hpp"
#include "transports/make.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// --- nodes ---

void add_one(const Payload& in, Output& out) {
    const auto x = in.view<std::int64_t>();
    auto y = out.draft<std::int64_t>(in.shape());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] + 1;
    out.emit(std::move(y));
}

void answer_with_pid(const Payload&, Output& out) {
    auto pid = out.draft<std::int64_t>(1);
    pid[0] = getpid();
    out.emit(std::move(pid));
}

/// Stays in the call for a negative number, until it is killed.
void stick_at_negative(const Payload& in, Output& out) {
    while (in.view<std::int64_t>()[0] < 0) pause();
    answer_with_pid(in, out);
}

/// Throws at a negative number.
void throw_at_negative(const Payload& in, Output& out) {
    if (in.view<std::int64_t>()[0] < 0) throw std::runtime_error{"failed on purpose"};
    add_one(in, out);
}

/// Answers numbers that are not negative.
void drop_negative(const Payload& in, Output& out) {
    if (in.view<std::int64_t>()[0] >= 0) add_one(in, out);
}

class CannotStart final : public Processor {
public:
    CannotStart() { throw Error{Errc::exhausted, "no start on purpose"}; }
    void process(const Payload&, Output&) override {}
};

// --- what every test needs ---

struct Served {
    explicit Served(const Graph& graph, const std::function<void(RunnerOptions&)>& change = {}, bool serve = true)
        : runner{graph, options(change)} {
        if (serve) runner.serve();
    }
    [[nodiscard]] RunnerOptions options(const std::function<void(RunnerOptions&)>& change) const {
        RunnerOptions options;
        options.run.runs_dir = folder.path();
        options.run.arena_bytes = 16U << 20U;
        if (change) change(options);
        return options;
    }
    [[nodiscard]] RawDraft number(std::int64_t value, std::size_t count = 1) {
        auto draft = runner.draft<std::int64_t>(count);
        std::fill(draft.begin(), draft.end(), value);
        return draft;
    }
    [[nodiscard]] std::int64_t call(std::int64_t value) {
        return runner.call(number(value), 20s).view<std::int64_t>()[0];
    }

    test::ScratchFolder folder;
    Runner runner;
};

[[nodiscard]] Graph line(const Graph::Function& function, int instances = 1) {
    Graph graph{"line"};
    graph.node("work", function, instances);
    graph.edge("START", {}, "work");
    graph.edge("DONE", "work", {});
    return graph;
}

void expect_nothing_left() {
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code gone;
        EXPECT_THAT(std::filesystem::read_symlink(entry.path(), gone).string(), Not(HasSubstr("memfd:penstock")));
    }
    int threads = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator{"/proc/self/task"}) ++threads;
#ifndef __SANITIZE_THREAD__
    EXPECT_EQ(threads, 1);
#endif
}

// --- graphs ---

TEST(Graph, IsThePipelineThatItsWordsSay) {
    Graph graph{"my_graph"};
    graph.node("prep", "pass");
    graph.node("fpga", "square", {}, 2);
    graph.node("post", "pass");
    graph.edge("START", {}, "prep");
    graph.edge("fpga", "prep", "fpga");
    graph.edge("post", "fpga", "post");
    graph.edge("DONE", "post", {});

    const PipelineSpec spec = graph.spec();

    std::vector<std::string> stages;
    for (const StageSpec& stage : spec.stages) stages.push_back(stage.name);
    EXPECT_THAT(stages, ::testing::ElementsAre("prep", "fpga", "post", "START", "DONE"));
    std::vector<std::string> channels;
    for (const ChannelSpec& channel : spec.channels)
        channels.push_back(channel.from + ">" + channel.name + ">" + channel.to);
    EXPECT_THAT(channels,
                ::testing::ElementsAre("START>START>prep", "prep>fpga>fpga", "fpga>post>post", "post>DONE>DONE"));
    EXPECT_EQ(spec.stages[1].instances, 2);
}

TEST(Graph, HasNoEndsThatNoEdgeNeeds) {
    Graph graph{"closed"};
    graph.node("make", "records");
    graph.node("drop", "null");
    graph.edge("all", "make", "drop");

    EXPECT_EQ(graph.spec().stages.size(), 2U);
    const Error error = error_of([&] { Runner{graph}; });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("no edge without a driver"));
}

TEST(Graph, RefusesTwoFunctionsOfOneName) {
    Graph graph{"twice"};
    graph.node("work", add_one);

    EXPECT_EQ(error_of([&] { graph.node("work", add_one); }).code(), Errc::invalid_input);
}

TEST(Graph, IsCheckedBeforeItIsServed) {
    Graph graph = line(add_one);
    graph.edge("more", "work", "nowhere");

    const Error error = error_of([&] { Runner{graph}; });

    EXPECT_THAT(error.what(), AllOf(HasSubstr("unknown stage"), HasSubstr("nowhere")));
}

// --- answers ---

TEST(Runner, AnswersACall) {
    Served served{line(add_one)};

    EXPECT_EQ(served.call(41), 42);
    EXPECT_EQ(served.call(-1), 0);

    const RunResult result = served.runner.stop();
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.error, "");
    expect_nothing_left();
}

TEST(Runner, AnswersThroughANodeThatHandsPayloadsOn) {
    Graph graph{"by_reference"};
    graph.node("pass", "pass");
    graph.edge("START", {}, "pass");
    graph.edge("DONE", "pass", {});
    Served served{graph};

    EXPECT_EQ(served.call(1), 1);
    const Payload large = served.runner.call(served.number(5, 100'000), 20s);

    EXPECT_EQ(large.view<std::int64_t>()[99'999], 5);
}

TEST(Runner, KeepsTheUserIdAndTheFormOfAPayload) {
    Graph graph{"pass"};
    graph.node("pass", "pass");
    graph.edge("START", {}, "pass");
    graph.edge("DONE", "pass", {});
    Served served{graph};
    auto draft = served.runner.draft<float>(Shape{2, 3});
    std::iota(draft.begin(), draft.end(), 0.0F);
    draft.set_user_id(1234);
    draft.set("key", "value");

    const Payload answer = served.runner.call(std::move(draft), 20s);

    EXPECT_EQ(answer.user_id(), 1234U);
    EXPECT_EQ(answer.shape(), (Shape{2, 3}));
    EXPECT_EQ(answer.metadata().string("key"), "value");
    EXPECT_EQ(answer.view<float>()[5], 5.0F);
}

TEST(Runner, AnswersEachOfManyThreads) {
    constexpr int threads = 8;
    constexpr int calls_each = 250;
    Served served{line(add_one, 3)};
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < threads; ++i) {
        callers.emplace_back([&, i] {
            for (int n = 0; n < calls_each; ++n) {
                const std::int64_t value = i * 1'000'000 + n;
                if (served.call(value) != value + 1) ++wrong;
            }
        });
    }
    for (std::thread& caller : callers) caller.join();

    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(served.runner.counts().answered, std::uint64_t{threads} * calls_each);
    EXPECT_EQ(served.runner.stop().exit_code, 0);
}

TEST(Runner, HasThousandsInFlight) {
    Served served{line(add_one, 2)};
    std::vector<PendingCall> pending;
    for (std::int64_t n = 0; n < 4000; ++n) pending.push_back(served.runner.async_call(served.number(n), 20s));

    for (std::int64_t n = 4000; n-- > 0;) {
        ASSERT_EQ(pending[static_cast<std::size_t>(n)].get().view<std::int64_t>()[0], n + 1);
    }
    EXPECT_EQ(served.runner.counts().failed, 0U);
}

TEST(Runner, LetsAnswersBeHeldAfterItStopped) {
    Payload kept;
    RawDraft draft = [&] {
        Served served{line(add_one)};
        std::vector<Payload> dropped;
        for (int n = 0; n < 20; ++n) dropped.push_back(served.runner.call(served.number(n, 50'000), 20s));
        kept = dropped[7];
        std::thread{[held = std::move(dropped)] {}}.join();
        RawDraft unsent = served.number(3, 50'000);
        EXPECT_EQ(served.runner.stop().exit_code, 0);
        return unsent;
    }();

    EXPECT_EQ(kept.view<std::int64_t>()[49'999], 8);
    draft.bytes()[399'999] = std::byte{1};
    std::thread{[held = std::move(kept)] {}}.join();
}

TEST(Runner, AnswersThroughEdgesByTheirNames) {
    Graph graph{"two_ways"};
    graph.node("one", add_one);
    graph.node("ten", [](const Payload& in, Output& out) {
        auto y = out.draft<std::int64_t>(1);
        y[0] = 10 * in.view<std::int64_t>()[0];
        out.emit("ten.DONE", std::move(y));
    });
    graph.edge("one.START", {}, "one");
    graph.edge("ten.START", {}, "ten");
    graph.edge("one.DONE", "one", {});
    graph.edge("ten.DONE", "ten", {});
    Served served{graph};

    EXPECT_EQ(served.runner.call("one.START", served.number(5), 20s).view<std::int64_t>()[0], 6);
    EXPECT_EQ(served.runner.call("ten.START", served.number(5), 20s).view<std::int64_t>()[0], 50);
    const Error error = error_of([&] { static_cast<void>(served.runner.call("one", served.number(5), 20s)); });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("one.START"), HasSubstr("ten.START")));
}

TEST(Runner, TakesTheFirstOfTwoAnswers) {
    Graph graph{"fan_out"};
    graph.node("left", add_one);
    graph.node("right", add_one);
    graph.edge("a", {}, "left");
    graph.edge("b", {}, "right");
    graph.edge("c", "left", {});
    graph.edge("d", "right", {});
    Served served{graph};

    for (std::int64_t n = 0; n < 50; ++n) EXPECT_EQ(served.call(n), n + 1);

    EXPECT_EQ(served.runner.stop().exit_code, 0);
    EXPECT_EQ(served.runner.counts().unasked, 50U);
}

TEST(Runner, ServesAgainAfterItStopped) {
    Served served{line(add_one)};
    EXPECT_EQ(served.call(1), 2);
    RawDraft old = served.number(1);
    EXPECT_EQ(error_of([&] { served.runner.serve(); }).code(), Errc::invalid_input);
    static_cast<void>(served.runner.stop());
    EXPECT_EQ(error_of([&] { static_cast<void>(served.number(1)); }).code(), Errc::disconnected);

    served.runner.serve();

    EXPECT_EQ(served.call(2), 3);
    EXPECT_EQ(error_of([&] { static_cast<void>(served.runner.call(std::move(old), 20s)); }).code(),
              Errc::invalid_input);
}

TEST(Runner, StaysUpWhileNobodyCalls) {
    std::atomic<int> looks{0};
    Served served{line(add_one), [&](RunnerOptions& options) {
                      options.run.stall_timeout = 1s;
                      options.run.on_status = [&](std::string_view) { ++looks; };
                  }};

    const auto deadline = SteadyClock::now() + 20s;
    while (looks < 8 && SteadyClock::now() < deadline) std::this_thread::sleep_for(1ms);  // four looks are a timeout

    EXPECT_EQ(served.call(1), 2);
}

TEST(Runner, ServesInTheForegroundUntilASignal) {
    Served served{line(add_one), {}, false};
    std::thread caller{[&] {
        while (!served.runner.serving()) std::this_thread::yield();
        EXPECT_EQ(served.call(1), 2);
        kill(getpid(), SIGTERM);
    }};

    served.runner.serve(false);

    caller.join();
    EXPECT_EQ(served.runner.stop().exit_code, 128 + SIGTERM);
}

// --- failures ---

TEST(Runner, SaysWhereACallIsThatTimesOut) {
    Served served{line(stick_at_negative)};
    EXPECT_EQ(served.call(1), served.call(2));

    const Error error = error_of([&] { static_cast<void>(served.runner.call(served.number(-1), 30ms)); });

    EXPECT_EQ(error.code(), Errc::timed_out);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("no answer within 30 ms"), HasSubstr("work.0 (rank 1)"),
                                    HasSubstr("inside its operator 'work' with payload 2")));
    const RunResult result = served.runner.stop(0ms);
    EXPECT_EQ(result.exit_code, exit_code(Errc::timed_out));
    EXPECT_THAT(result.error, HasSubstr("stopped with 1 calls in the graph"));
    expect_nothing_left();
}

TEST(Runner, LetsOnlySoManyIntoTheGraph) {
    Served served{line(stick_at_negative), [](RunnerOptions& options) { options.most_in_flight = 2; }};
    const PendingCall first = served.runner.async_call(served.number(-1), 20s);
    const PendingCall second = served.runner.async_call(served.number(-1), 20s);

    const Error error = error_of([&] { static_cast<void>(served.runner.async_call(served.number(-1), 1ms)); });

    EXPECT_EQ(error.code(), Errc::timed_out);
    EXPECT_THAT(error.what(), HasSubstr("2 calls are in flight"));
    EXPECT_FALSE(first.ready());
    static_cast<void>(served.runner.stop(0ms));
    EXPECT_TRUE(second.ready());
}

TEST(Runner, FailsACallThatTheGraphDrops) {
    Served served{line(drop_negative)};

    const Error small = error_of([&] { static_cast<void>(served.runner.call(served.number(-1), 20s)); });
    const Error large = error_of([&] { static_cast<void>(served.runner.call(served.number(-1, 10'000), 20s)); });

    EXPECT_EQ(small.code(), Errc::failed);
    EXPECT_EQ(large.code(), Errc::failed);
    EXPECT_THAT(small.what(), HasSubstr("has not answered"));
    EXPECT_EQ(served.call(1), 2);
}

TEST(Runner, FailsEveryCallWhenAnOperatorThrows) {
    Served served{line(throw_at_negative)};
    EXPECT_EQ(served.call(1), 2);

    PendingCall pending = served.runner.async_call(served.number(-1), 20s);
    const Error error = error_of([&] { static_cast<void>(pending.get()); });

    EXPECT_EQ(error.code(), Errc::failed);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("failed on purpose"), HasSubstr("operator 'work' of work.0 (rank 1)"),
                                    HasSubstr("payload 1 of START.0")));
    EXPECT_EQ(served.runner.stop().exit_code, 1);
    expect_nothing_left();
    EXPECT_THAT(error_of([&] { static_cast<void>(served.number(1)); }).what(), HasSubstr("failed on purpose"));
}

TEST(Runner, FailsEveryCallWhenAnInstanceIsKilled) {
    Served served{line(stick_at_negative, 2)};
    const auto victim = static_cast<pid_t>(served.call(1));
    std::vector<PendingCall> pending;
    for (int n = 0; n < 100; ++n) pending.push_back(served.runner.async_call(served.number(-1), 20s));

    kill(victim, SIGKILL);

    for (PendingCall& call : pending) {
        const Error error = error_of([&] { static_cast<void>(call.get()); });
        ASSERT_EQ(error.code(), Errc::disconnected);
        ASSERT_THAT(error.what(), AllOf(HasSubstr("stage 'work' instance "), HasSubstr("(rank "),
                                        HasSubstr("was killed by signal 9")));
    }
    EXPECT_EQ(served.runner.stop().exit_code, exit_code(Errc::disconnected));
    expect_nothing_left();

    served.runner.serve();
    EXPECT_NE(served.call(1), victim);
}

TEST(Runner, FailsWaitingThreadsWhenAnInstanceIsKilled) {
    Served served{line(stick_at_negative)};
    const auto victim = static_cast<pid_t>(served.call(1));
    std::atomic<int> failed{0};
    std::vector<std::thread> callers;
    for (int i = 0; i < 8; ++i) {
        callers.emplace_back([&, i] {
            const Error error = error_of([&] {
                for (;;) static_cast<void>(served.runner.call(served.number(i == 0 ? -1 : 1, 10'000), 20s));
            });
            if (error.code() == Errc::disconnected) ++failed;
        });
    }
    const auto deadline = SteadyClock::now() + 20s;
    while (served.runner.counts().in_flight < 8 && SteadyClock::now() < deadline) std::this_thread::yield();

    kill(victim, SIGKILL);

    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(failed, 8);
}

TEST(Runner, SaysWhichNodeCannotStart) {
    Graph graph{"broken"};
    graph.registry().add<CannotStart>("cannot_start");
    graph.node("broken", "cannot_start");
    graph.edge("START", {}, "broken");
    graph.edge("DONE", "broken", {});
    Served served{graph, {}, false};

    const Error error = error_of([&] { served.runner.serve(); });

    EXPECT_EQ(error.code(), Errc::exhausted);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("no start on purpose"), HasSubstr("broken.0 (rank 1)")));
    EXPECT_FALSE(served.runner.serving());
    expect_nothing_left();
}

TEST(Runner, ForgivesAPayloadThatAChannelRefuses) {
    Graph graph{"hashed"};
    graph.node("work", add_one, 2);
    graph.edge(ChannelSpec{.name = "START", .from = {}, .to = "work", .route = Route::hash, .key = "key"});
    graph.edge("DONE", "work", {});
    Served served{graph};

    const Error error = error_of([&] { static_cast<void>(served.call(1)); });
    RawDraft draft = served.number(1);
    draft.set("key", 1);

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("metadata key 'key'"));
    EXPECT_EQ(served.runner.call(std::move(draft), 20s).view<std::int64_t>()[0], 2);
}

TEST(Runner, TakesOnlyDraftsOfItsOwn) {
    Served served{line(add_one)};
    RawDraft sent = served.number(1);
    EXPECT_EQ(served.runner.call(std::move(sent), 20s).view<std::int64_t>()[0], 2);

    EXPECT_EQ(error_of([&] { static_cast<void>(served.runner.call(std::move(sent), 20s)); }).code(),  // NOLINT
              Errc::invalid_input);
}

TEST(Runner, DrainsWhatIsUnderWayWhenItStops) {
    Served served{line(add_one)};
    std::vector<PendingCall> pending;
    for (std::int64_t n = 0; n < 1000; ++n) pending.push_back(served.runner.async_call(served.number(n), 20s));

    const RunResult result = served.runner.stop(20s);

    EXPECT_EQ(result.exit_code, 0) << result.error;
    for (std::int64_t n = 0; n < 1000; ++n) {
        EXPECT_EQ(pending[static_cast<std::size_t>(n)].get().view<std::int64_t>()[0], n + 1);
    }
    EXPECT_EQ(served.runner.stop().exit_code, 0);
}

TEST(Runner, StopsWithinItsLimitWhateverIsUnderWay) {
    Served served{line(stick_at_negative)};
    PendingCall pending = served.runner.async_call(served.number(-1), 20s);
    std::thread waits{[&] {
        const Error error = error_of([&] { static_cast<void>(pending.get()); });
        EXPECT_EQ(error.code(), Errc::timed_out);
        EXPECT_THAT(error.what(), AllOf(HasSubstr("stopped with 1 calls"), HasSubstr("work.0")));
    }};

    static_cast<void>(served.runner.stop(1ms));

    waits.join();
    expect_nothing_left();
}

TEST(Runner, IsNotCalledBeforeItServes) {
    Served served{line(add_one), {}, false};

    EXPECT_FALSE(served.runner.serving());
    EXPECT_EQ(error_of([&] { static_cast<void>(served.number(1)); }).code(), Errc::disconnected);
    EXPECT_EQ(served.runner.run_dir(), "");
}

TEST(Runner, IsRefusedInAnMpiJob) {
    if (!known_transports().back().built) GTEST_SKIP() << "no MPI in this build";
    setenv("PMIX_RANK", "0", 1);
    const Error error = error_of([] { Runner{line(add_one)}; });
    unsetenv("PMIX_RANK");

    EXPECT_EQ(error.code(), Errc::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("without mpirun"));
}

}  // namespace
}  // namespace penstock
