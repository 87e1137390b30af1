#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <penstock/jobs.hpp>

#include "base/clock.hpp"
#include "support/scratch_folder.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- kernels ---

/// Answers with its process; dies at a negative number.
class Die final : public Processor {
public:
    void process(const Payload& in, Output& out) override {
        if (in.view<std::int64_t>()[0] < 0) raise(SIGKILL);
        auto pid = out.draft<std::int64_t>(1);
        pid[0] = getpid();
        out.emit(std::move(pid));
    }
};

class Throw final : public Processor {
public:
    void process(const Payload&, Output&) override { throw std::runtime_error{"failed on purpose"}; }
};

class Stick final : public Processor {
public:
    void process(const Payload&, Output&) override {
        for (;;) pause();
    }
};

/// Answers with a number that grows with each call of one worker.
class Count final : public Processor {
public:
    void process(const Payload&, Output& out) override {
        auto number = out.draft<std::int64_t>(1);
        number[0] = ++calls_;
        out.emit(std::move(number));
    }

private:
    std::int64_t calls_ = 0;
};

/// Waits until the file that its payload names is there.
class Await final : public Processor {
public:
    void process(const Payload& in, Output& out) override {
        const std::string path{in.text()};
        const auto deadline = SteadyClock::now() + 30s;
        while (access(path.c_str(), F_OK) != 0) {
            if (SteadyClock::now() > deadline) throw std::runtime_error{"nobody made " + path};
            usleep(1000);
        }
        out.emit(in);
    }
};

[[nodiscard]] Registry kernels() {
    Registry registry = Registry::with_builtins();
    registry.add<Die>("die");
    registry.add<Throw>("throw");
    registry.add<Stick>("stick");
    registry.add<Count>("count");
    registry.add<Await>("await");
    return registry;
}

struct Queue {
    explicit Queue(int workers, const std::function<void(JobOptions&)>& change = {})
        : jobs{options(workers, change), kernels()} {}
    [[nodiscard]] JobOptions options(int workers, const std::function<void(JobOptions&)>& change) const {
        JobOptions options;
        options.workers = workers;
        options.runner.run.runs_dir = folder.path();
        options.runner.run.arena_bytes = 64U << 20U;
        if (change) change(options);
        return options;
    }
    std::uint64_t submit(std::string_view kernel, std::int64_t value, int priority = 0) {
        return jobs.submit(kernel, JobData::of(std::span<const std::int64_t>{&value, 1}), priority);
    }
    /// Keeps a worker busy until `open`.
    std::uint64_t submit_gate() {
        const std::string path = folder.path("gate");
        return jobs.submit("await", JobData::of(std::span<const char>{path}), 100);
    }
    void open() const { static_cast<void>(folder.write("gate", "")); }
    [[nodiscard]] std::int64_t number(std::uint64_t job) { return jobs.result(job, 20s).view<std::int64_t>()[0]; }
    void wait_for(std::uint64_t job, JobState state) const {
        const auto deadline = SteadyClock::now() + 20s;
        while (jobs.state(job) != state && SteadyClock::now() < deadline) std::this_thread::yield();
        ASSERT_EQ(jobs.state(job), state);
    }

    test::ScratchFolder folder;
    Jobs jobs;
};

TEST(Jobs, SquareARangeInOneLine) {
    Queue queue{3};
    std::vector<double> range(1'000'003);
    std::iota(range.begin(), range.end(), 0.0);

    const auto squares = queue.jobs.process<double>(std::span<const double>{range}, "square");

    ASSERT_EQ(squares.size(), range.size());
    for (std::size_t i = 0; i < range.size(); ++i) ASSERT_EQ(squares[i], range[i] * range[i]);
    EXPECT_GE(queue.jobs.counts().completed, 6U);
    EXPECT_THAT(queue.jobs.process<double>(std::span<const double>{}, "square"), ElementsAre());
    const std::array few{1.0F, 2.0F, 3.0F};
    EXPECT_THAT(queue.jobs.process<float>(std::span<const float>{few}, "square"), ElementsAre(1.0F, 4.0F, 9.0F));
}

TEST(Jobs, ProcessRangesOfManyThreads) {
    Queue queue{2};
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
            const std::vector<double> range(100'000, i);
            const auto squares = queue.jobs.process<double>(std::span<const double>{range}, "square");
            if (squares == std::vector<double>(100'000, i * i)) ++right;
        });
    }
    for (std::thread& thread : threads) thread.join();

    EXPECT_EQ(right, 4);
}

TEST(Jobs, GiveResultsByTheirNumber) {
    Queue queue{2};
    const auto first = queue.submit("square", 3);
    const auto second = queue.submit("square", 4);

    EXPECT_EQ(queue.jobs.result(second, 20s).view<double>()[0], 16.0);
    EXPECT_EQ(queue.jobs.result(first, 20s).view<double>()[0], 9.0);
    EXPECT_EQ(error_of([&] { static_cast<void>(queue.jobs.state(first)); }).code(), Errc::invalid_input);
    EXPECT_EQ(queue.jobs.counts().completed, 2U);
}

TEST(Jobs, RunByPriorityAndThenInOrder) {
    Queue queue{1};
    const auto gate = queue.submit_gate();
    queue.wait_for(gate, JobState::running);
    const auto low = queue.submit("count", 0, -1);
    const auto first = queue.submit("count", 0);
    const auto second = queue.submit("count", 0);
    const auto high = queue.submit("count", 0, 5);
    EXPECT_EQ(queue.jobs.state(high), JobState::pending);

    queue.open();

    EXPECT_EQ(queue.number(high), 1);
    EXPECT_EQ(queue.number(first), 2);
    EXPECT_EQ(queue.number(second), 3);
    EXPECT_EQ(queue.number(low), 4);
}

TEST(Jobs, AreCancelledWhileTheyWaitAndWhileTheyRun) {
    Queue queue{1};
    const auto running = queue.submit_gate();
    queue.wait_for(running, JobState::running);
    const auto pending = queue.submit("count", 0);

    EXPECT_TRUE(queue.jobs.cancel(pending));
    EXPECT_TRUE(queue.jobs.cancel(running));
    EXPECT_FALSE(queue.jobs.cancel(running));
    queue.open();

    EXPECT_EQ(queue.jobs.state(pending), JobState::cancelled);
    for (const auto job : {pending, running}) {
        const Error error = error_of([&] { static_cast<void>(queue.jobs.result(job, 20s)); });
        EXPECT_EQ(error.code(), Errc::disconnected);
        EXPECT_THAT(error.what(), HasSubstr("was cancelled"));
    }
    EXPECT_EQ(queue.number(queue.submit("count", 0)), 1);
    EXPECT_EQ(queue.jobs.counts().cancelled, 2U);
}

TEST(Jobs, FailWithWhatTheirKernelThrows) {
    Queue queue{1};
    const auto job = queue.submit("throw", 0);

    const Error error = error_of([&] { static_cast<void>(queue.jobs.result(job, 20s)); });

    EXPECT_EQ(error.code(), Errc::failed);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("failed on purpose"), HasSubstr("kernel 'throw' of job 1")));
    EXPECT_EQ(queue.jobs.counts().requeued, 0U);
    EXPECT_EQ(queue.number(queue.submit("count", 0)), 1);
}

TEST(Jobs, FailWhenTheirKernelCannotUseTheData) {
    Queue queue{1};
    const std::string text = "no numbers";
    const auto job = queue.jobs.submit("square", JobData::of(std::span<const char>{text}));

    EXPECT_THAT(error_of([&] { static_cast<void>(queue.jobs.result(job, 20s)); }).what(), HasSubstr("dtype"));
    const std::array numbers{1.0, 2.0};
    EXPECT_THAT(error_of([&] {
                    static_cast<void>(queue.jobs.process<float>(std::span<const double>{numbers}, "square"));
                }).what(),
                HasSubstr("made 16 bytes of 'f64'"));
    EXPECT_EQ(queue.jobs.counts().pending + queue.jobs.counts().running, 0U);
}

TEST(Jobs, AreRefusedForKernelsThatNobodyKnows) {
    Queue queue{1};

    EXPECT_THAT(error_of([&] { queue.submit("sqare", 1); }).what(), HasSubstr("did you mean \"square\""));
    EXPECT_EQ(error_of([&] { queue.submit("records", 1); }).code(), Errc::invalid_input);
}

TEST(Jobs, AreRunAgainWhenTheirWorkerIsKilled) {
    Queue queue{2};
    const auto victim = static_cast<pid_t>(queue.number(queue.submit("die", 1)));
    const auto first = queue.submit_gate();
    const auto second = queue.submit_gate();
    queue.wait_for(first, JobState::running);
    queue.wait_for(second, JobState::running);
    const auto third = queue.submit("die", 1);

    kill(victim, SIGKILL);
    queue.open();

    EXPECT_NO_THROW(static_cast<void>(queue.jobs.result(first, 20s)));
    EXPECT_NO_THROW(static_cast<void>(queue.jobs.result(second, 20s)));
    EXPECT_NE(queue.number(third), victim);
    EXPECT_GE(queue.jobs.counts().requeued, 1U);
    EXPECT_EQ(queue.jobs.counts().failed, 0U);
}

TEST(Jobs, GiveUpOneThatKillsItsWorkersAndSpareTheOthers) {
    Queue queue{2};
    const auto gate = queue.submit_gate();
    queue.wait_for(gate, JobState::running);
    const auto poison = queue.submit("die", -1, 200);
    const std::string path = queue.folder.path("gate");
    const auto innocent = queue.jobs.submit("await", JobData::of(std::span<const char>{path}));

    // Three workers die of it. The other job loses its own with the first of them, and no job with the rest.
    const Error error = error_of([&] { static_cast<void>(queue.jobs.result(poison, 20s)); });
    queue.open();

    EXPECT_EQ(error.code(), Errc::disconnected);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("stage 'worker' instance"), HasSubstr("was killed by signal 9"),
                                    HasSubstr("for the 3. time")));
    EXPECT_NO_THROW(static_cast<void>(queue.jobs.result(gate, 20s)));
    EXPECT_NO_THROW(static_cast<void>(queue.jobs.result(innocent, 20s)));
    EXPECT_EQ(queue.jobs.counts().requeued, 3U);
    EXPECT_EQ(queue.jobs.counts().failed, 1U);
}

TEST(Jobs, FailWhenTheyTakeTooLong) {
    Queue queue{1, [](JobOptions& options) { options.longest = 50ms; }};
    const auto stuck = queue.submit("stick", 0);

    const Error error = error_of([&] { static_cast<void>(queue.jobs.result(stuck, 20s)); });

    EXPECT_EQ(error.code(), Errc::timed_out);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("no answer within 50 ms"), HasSubstr("worker.0")));
}

TEST(Jobs, AreWaitedForOnlySoLong) {
    Queue queue{1};
    const auto gate = queue.submit_gate();
    queue.wait_for(gate, JobState::running);

    const Error error = error_of([&] { static_cast<void>(queue.jobs.result(gate, 1ms)); });
    queue.open();

    EXPECT_EQ(error.code(), Errc::timed_out);
    EXPECT_THAT(error.what(), HasSubstr("job 1 is running"));
    EXPECT_NO_THROW(static_cast<void>(queue.jobs.result(gate, 20s)));
}

TEST(Jobs, EndWithTheirQueueWhateverTheyAreAt) {
    Queue queue{1};
    const auto stuck = queue.submit("stick", 0);
    queue.wait_for(stuck, JobState::running);
    queue.submit("count", 0);
}

}  // namespace
}  // namespace penstock
