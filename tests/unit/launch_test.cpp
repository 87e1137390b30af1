#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "launch/local_processes.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

[[nodiscard]] std::string label(Rank rank) {
    return "stage." + std::to_string(rank - 1);
}

/// A child's last act: stays until it is killed. Its parent's death kills it too.
[[nodiscard]] int stay() {
    for (;;) pause();
}

/// Everything the ranks exchange; to rank 0 and from there to all.
[[nodiscard]] std::string joined(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += text + ";";
    return all;
}

[[nodiscard]] std::vector<Supervisor::Lost> wait_for_lost(LocalProcesses& processes) {
    const auto deadline = SteadyClock::now() + 20s;
    auto lost = processes.lost();
    while (lost.empty() && SteadyClock::now() < deadline) {
        std::this_thread::yield();
        lost = processes.lost();
    }
    return lost;
}

TEST(LocalProcesses, ExchangeTextsOfAnySizeByRank) {
    const std::string large(3'000'000, 'x');
    LocalProcesses processes{4, 20s, label, [&](Rank rank, Bootstrap& bootstrap) {
                                 EXPECT_EQ(bootstrap.rank(), rank);
                                 const auto first = bootstrap.allgather("from " + std::to_string(rank));
                                 const auto second = bootstrap.allgather(rank == 2 ? large : std::string{});
                                 const bool right = bootstrap.size() == 4 &&
                                                    joined(first) == "from 0;from 1;from 2;from 3;" &&
                                                    second.size() == 4 && second[2] == large && second[3].empty();
                                 return right ? 0 : 9;
                             }};

    EXPECT_EQ(processes.size(), 4U);
    EXPECT_EQ(joined(processes.allgather("from 0")), "from 0;from 1;from 2;from 3;");
    EXPECT_EQ(processes.allgather("")[2].size(), large.size());
    std::vector<std::string> ends;
    while (ends.size() < 3) {
        const auto lost = wait_for_lost(processes);
        ASSERT_FALSE(lost.empty());
        for (const auto& one : lost) ends.push_back(one.how);
    }

    EXPECT_THAT(ends, ::testing::Each(std::string{"ended with exit code 0"}));
    EXPECT_EQ(processes.reap(20s), 0);
}

TEST(LocalProcesses, AreGoneWhenTheirObjectIs) {
    std::vector<pid_t> pids;
    {
        LocalProcesses processes{4, 20s, label, [](Rank, Bootstrap& bootstrap) {
                                     static_cast<void>(bootstrap.allgather(std::to_string(getpid())));
                                     return stay();
                                 }};
        const auto texts = processes.allgather("");
        for (Rank rank = 1; rank < 4; ++rank) pids.push_back(static_cast<pid_t>(std::stol(texts[rank])));
        for (const pid_t pid : pids) EXPECT_EQ(kill(pid, 0), 0);
    }

    for (const pid_t pid : pids) {
        EXPECT_EQ(kill(pid, 0), -1);
        EXPECT_EQ(errno, ESRCH);
    }
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
}

TEST(LocalProcesses, DieWithTheirParent) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    const pid_t coordinator = fork();
    if (coordinator == 0) {
        LocalProcesses processes{3, 20s, label, [](Rank, Bootstrap& bootstrap) {
                                     static_cast<void>(bootstrap.allgather(""));
                                     return stay();
                                 }};
        static_cast<void>(processes.allgather(""));
        const char ready = 'r';
        if (write(ends[1], &ready, 1) != 1) _exit(1);
        static_cast<void>(stay());
    }
    close(ends[1]);
    char byte = 0;
    ASSERT_EQ(read(ends[0], &byte, 1), 1);

    kill(coordinator, SIGKILL);
    ASSERT_EQ(waitpid(coordinator, nullptr, 0), coordinator);

    // All of them hold the pipe: its end is read when the last of them is gone.
    alarm(20);
    EXPECT_EQ(read(ends[0], &byte, 1), 0);
    alarm(0);
    close(ends[0]);
}

TEST(LocalProcesses, NameTheOneThatDiesInTheExchange) {
    LocalProcesses processes{4, 20s, label, [](Rank rank, Bootstrap& bootstrap) {
                                 if (rank == 2) _exit(3);
                                 static_cast<void>(bootstrap.allgather(""));
                                 return stay();
                             }};

    const Error error = error_of([&] { static_cast<void>(processes.allgather("")); });

    EXPECT_EQ(error.code(), Errc::disconnected);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("stage.1"), HasSubstr("rank 2")));
    const auto lost = wait_for_lost(processes);
    ASSERT_EQ(lost.size(), 1U);
    EXPECT_EQ(lost[0].rank, 2U);
    EXPECT_EQ(lost[0].how, "ended with exit code 3");
    EXPECT_THAT(processes.lost(), IsEmpty()) << "a loss is told once";
}

TEST(LocalProcesses, SayWhichSignalKilledOne) {
    LocalProcesses processes{3, 20s, label, [](Rank rank, Bootstrap&) {
                                 if (rank == 1) raise(SIGKILL);
                                 return stay();
                             }};

    const auto lost = wait_for_lost(processes);

    ASSERT_EQ(lost.size(), 1U);
    EXPECT_EQ(lost[0].rank, 1U);
    EXPECT_THAT(lost[0].how, AllOf(HasSubstr("signal 9"), HasSubstr("Killed")));
}

TEST(LocalProcesses, WaitForASilentOneOnlySoLong) {
    LocalProcesses processes{2, 50ms, label, [](Rank, Bootstrap&) { return stay(); }};

    const Error error = error_of([&] { static_cast<void>(processes.allgather("")); });

    EXPECT_EQ(error.code(), Errc::timed_out);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("stage.0"), HasSubstr("rank 1"), HasSubstr("no answer in time")));
}

TEST(LocalProcesses, KillWhatOutstaysTheirPatience) {
    LocalProcesses processes{4, 20s, label, [](Rank rank, Bootstrap& bootstrap) {
                                 static_cast<void>(bootstrap.allgather(""));
                                 return rank == 1 ? 0 : stay();
                             }};
    static_cast<void>(processes.allgather(""));
    static_cast<void>(wait_for_lost(processes));

    EXPECT_EQ(processes.reap(1ms), 2);
    EXPECT_EQ(processes.reap(1ms), 0);
}

TEST(LocalProcesses, EndWithAnInternalErrorWhenSomethingEscapesThem) {
    LocalProcesses processes{2, 20s, label,
                             [](Rank, Bootstrap&) -> int { throw std::runtime_error{"escaped on purpose"}; }};

    const auto lost = wait_for_lost(processes);

    ASSERT_EQ(lost.size(), 1U);
    EXPECT_EQ(lost[0].how, "ended with exit code 70");
}

TEST(LocalProcesses, ExchangeTextsWithRanksThatAreThreads) {
    std::atomic<bool> abandon{false};
    std::atomic<int> right{0};
    const pid_t here = getpid();
    LocalProcesses processes{4,
                             20s,
                             label,
                             [&](Rank rank, Bootstrap& bootstrap) {
                                 const auto all = bootstrap.allgather(std::to_string(getpid() == here));
                                 if (getpid() == here && joined(all) == "0;1;0;1;") ++right;
                                 return static_cast<int>(rank);
                             },
                             {.ranks = {1, 3}, .abandon = &abandon}};

    EXPECT_THAT(processes.allgather("0"), ElementsAre("0", "1", "0", "1"));

    EXPECT_EQ(processes.reap(20s), 0);
    EXPECT_EQ(right, 2);
    EXPECT_FALSE(abandon);
}

TEST(LocalProcesses, SayHowAThreadEnded) {
    std::atomic<bool> abandon{false};
    LocalProcesses processes{2, 20s, label, [](Rank, Bootstrap&) { return 9; }, {.ranks = {1}, .abandon = &abandon}};

    const auto lost = wait_for_lost(processes);

    ASSERT_EQ(lost.size(), 1U);
    EXPECT_EQ(lost[0].rank, 1U);
    EXPECT_EQ(lost[0].how, "ended with exit code 9");
    EXPECT_THAT(processes.lost(), IsEmpty());
}

TEST(LocalProcesses, AskThreadsToLeaveThatOutstayTheirPatience) {
    std::atomic<bool> abandon{false};
    LocalProcesses processes{3,
                             20s,
                             label,
                             [&](Rank rank, Bootstrap& bootstrap) {
                                 // One waits for an exchange that never comes, one for the word to leave.
                                 if (rank == 1) static_cast<void>(bootstrap.allgather(""));
                                 while (!abandon) std::this_thread::yield();
                                 return 0;
                             },
                             {.ranks = {1, 2}, .abandon = &abandon}};

    EXPECT_EQ(processes.reap(1ms), 0);

    EXPECT_TRUE(abandon);
}

TEST(LocalProcesses, LeaveTheCoordinatorAloneWhenThereIsNobodyElse) {
    LocalProcesses processes{1, 20s, label, [](Rank, Bootstrap&) { return 0; }};

    EXPECT_THAT(processes.allgather("mine"), ElementsAre("mine"));
    EXPECT_EQ(processes.reap(20s), 0);
}

}  // namespace
}  // namespace penstock
