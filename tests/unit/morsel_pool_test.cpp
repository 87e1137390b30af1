#include "base/morsel_pool.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace penstock {
namespace {

/// One that does not leave threads out, however few processors there are.
[[nodiscard]] MorselPool::Options all_of(int threads, std::size_t morsel_bytes = 64) {
    return {.threads = threads, .morsel_bytes = morsel_bytes, .target_utilization = 0};
}

class MorselPoolTest : public ::testing::TestWithParam<int> {
protected:
    MorselPool pool{all_of(GetParam())};
};

TEST_P(MorselPoolTest, RunsEachPieceOnce) {
    for (const std::size_t count : {0U, 1U, 2U, 3U, 7U, 64U, 1000U}) {
        std::vector<std::atomic<int>> runs(count);

        pool.for_each(count, [&](std::size_t piece) { ++runs[piece]; });

        for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(runs[i].load(), 1) << i << " of " << count;
    }
    EXPECT_EQ(pool.counts().pieces, 0U + 1 + 2 + 3 + 7 + 64 + 1000);
}

TEST_P(MorselPoolTest, RunsManySmallJobsOneAfterTheOther) {
    std::vector<std::uint64_t> sums(8);

    for (std::uint64_t round = 1; round <= 3000; ++round) {
        pool.for_each(sums.size(), [&](std::size_t piece) { sums[piece] += round; });
    }

    for (const std::uint64_t sum : sums) EXPECT_EQ(sum, 3000U * 3001 / 2);
}

TEST_P(MorselPoolTest, CutsElementsIntoTheSameMorselsWhateverTheThreads) {
    std::vector<std::pair<std::size_t, std::size_t>> ranges(4);

    pool.for_each_morsel(100, 2, [&](std::size_t begin, std::size_t end) { ranges[begin / 32] = {begin, end}; });

    EXPECT_EQ(ranges, (std::vector<std::pair<std::size_t, std::size_t>>{{0, 32}, {32, 64}, {64, 96}, {96, 100}}));
}

TEST_P(MorselPoolTest, TakesElementsLargerThanAMorselOneByOne) {
    std::atomic<int> calls{0};

    pool.for_each_morsel(5, 1U << 20U, [&](std::size_t begin, std::size_t end) {
        EXPECT_EQ(end, begin + 1);
        ++calls;
    });
    pool.for_each_morsel(0, 1, [&](std::size_t, std::size_t) { ++calls; });
    pool.for_each_morsel(3, 0, [&](std::size_t begin, std::size_t end) { calls += static_cast<int>(end - begin); });

    EXPECT_EQ(calls, 8);
}

TEST_P(MorselPoolTest, ThrowsWhatAPieceThrewAndGoesOnAfterwards) {
    for (int round = 0; round < 50; ++round) {
        std::string said;
        try {
            pool.for_each(100, [](std::size_t piece) {
                if (piece % 10 == 3) throw std::runtime_error{"a broken piece"};
            });
        } catch (const std::runtime_error& error) {
            said = error.what();
        }
        ASSERT_EQ(said, "a broken piece");
    }
    std::atomic<int> runs{0};

    pool.for_each(100, [&](std::size_t) { ++runs; });

    EXPECT_EQ(runs, 100);
}

TEST_P(MorselPoolTest, IsAPlainLoopWithinAPiece) {
    std::atomic<int> runs{0};

    pool.for_each(8, [&](std::size_t) {
        std::size_t next = 0;
        pool.for_each(5, [&](std::size_t piece) {
            EXPECT_EQ(piece, next++);
            ++runs;
        });
    });

    EXPECT_EQ(runs, 40);
}

TEST_P(MorselPoolTest, LetsTheCallerSeeWhatOthersWrote) {
    std::mt19937 random{3};
    std::vector<std::uint32_t> numbers(20'000);
    std::ranges::generate(numbers, random);
    std::vector<std::uint64_t> squares(numbers.size());

    pool.for_each_morsel(numbers.size(), sizeof(std::uint32_t), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) squares[i] = std::uint64_t{numbers[i]} * numbers[i];
    });

    for (std::size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(squares[i], std::uint64_t{numbers[i]} * numbers[i]);
}

INSTANTIATE_TEST_SUITE_P(Threads, MorselPoolTest, ::testing::Values(1, 2, 3, 8),
                         [](const auto& threads) { return std::to_string(threads.param); });

/// Nobody can have done a piece before all have begun one.
TEST(MorselPool, UsesAllItsThreads) {
    MorselPool pool{all_of(4)};
    std::atomic<int> begun{0};

    pool.for_each(4, [&](std::size_t) {
        ++begun;
        while (begun < 4) std::this_thread::yield();
    });

    EXPECT_EQ(begun, 4);
}

TEST(MorselPool, StealsFromWhoIsBusyWithOnePiece) {
    MorselPool pool{all_of(2)};
    std::atomic<int> others{0};

    // Its own thread has the first half, and stays at its first piece until everything else is done.
    pool.for_each(100, [&](std::size_t piece) {
        if (piece != 0) {
            ++others;
            return;
        }
        while (others < 99) std::this_thread::yield();
    });

    EXPECT_GE(pool.counts().steals, 1U);
    EXPECT_EQ(pool.counts().pieces, 100U);
}

TEST(MorselPool, StartsNoThreadForOne) {
    MorselPool pool{all_of(1)};
    const auto self = std::this_thread::get_id();

    pool.for_each(50, [&](std::size_t) { EXPECT_EQ(std::this_thread::get_id(), self); });

    EXPECT_EQ(pool.counts().steals, 0U);
}

TEST(MorselPool, IsNotUsedByKernelsOfOtherThreads) {
    MorselPool pool{all_of(2)};
    EXPECT_EQ(executor_in_use(), nullptr);
    {
        const ExecutorScope scope{&pool};
        EXPECT_EQ(executor_in_use(), &pool);
        std::thread{[] { EXPECT_EQ(executor_in_use(), nullptr); }}.join();
    }
    EXPECT_EQ(executor_in_use(), nullptr);
}

TEST(ThreadControl, BeginsWithAll) {
    EXPECT_EQ((ThreadControl{4, 0.8}.active()), 4);
}

TEST(ThreadControl, KeepsThreadsThatAreBusy) {
    ThreadControl control{4, 0.8};
    for (int i = 0; i < 10'000; ++i) control.job_done(0.85);

    EXPECT_EQ(control.active(), 4);
}

TEST(ThreadControl, LeavesOutThreadsThatAreNot) {
    ThreadControl control{4, 0.8};
    for (int i = 0; i < 20; ++i) control.job_done(0.25);
    EXPECT_EQ(control.active(), 3) << "one at a time";
    for (int i = 0; i < 60; ++i) control.job_done(0.25);

    EXPECT_EQ(control.active(), 1) << "and never the last";
}

TEST(ThreadControl, TakesNoNoticeOfSmallDifferencesFromTheTarget) {
    ThreadControl control{4, 0.8};
    for (int i = 0; i < 20; ++i) control.job_done(0.2);
    ASSERT_EQ(control.active(), 3);

    for (int i = 0; i < 10'000; ++i) control.job_done(0.75);

    EXPECT_EQ(control.active(), 3) << "neither fewer nor more";
}

TEST(ThreadControl, TriesMoreAgainButEverMoreSeldom) {
    ThreadControl control{2, 0.8};
    const auto jobs_until = [&](int active) {
        int jobs = 0;
        while (control.active() != active) {
            control.job_done(control.active() == 1 ? 1.0 : 0.3);
            if (++jobs > 1'000'000) return -1;
        }
        return jobs;
    };
    ASSERT_GT(jobs_until(1), 0);
    int before = 0;
    for (int round = 0; round < 5; ++round) {
        const int now = jobs_until(2);
        ASSERT_GT(now, before);
        before = now;
        ASSERT_GT(jobs_until(1), 0);
    }
}

TEST(ThreadControl, ComesBackToAllWhenThereIsUseForThem) {
    ThreadControl control{4, 0.8};
    for (int i = 0; i < 100; ++i) control.job_done(0.2);
    ASSERT_EQ(control.active(), 1);

    for (int i = 0; i < 1000; ++i) control.job_done(0.95);

    EXPECT_EQ(control.active(), 4);
}

TEST(ThreadControl, NeverLeavesAThreadOutForATargetOfZero) {
    ThreadControl control{4, 0};
    for (int i = 0; i < 1000; ++i) control.job_done(0);

    EXPECT_EQ(control.active(), 4);
}

}  // namespace
}  // namespace penstock
