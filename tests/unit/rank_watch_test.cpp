#include "launch/rank_watch.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "support/in_process_world.hpp"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// As many stages as ranks but the coordinator, each of one instance, that hand payloads on from one to the next.
[[nodiscard]] Plan line_of(std::size_t ranks) {
    Plan plan;
    for (std::uint16_t i = 0; i + 1U < ranks; ++i) {
        PlannedStage& stage = plan.stages.emplace_back();
        stage.name = std::string(1, static_cast<char>('a' + i));
        stage.instances = 1;
        stage.first_rank = i + 1U;
        if (i == 0) continue;
        PlannedChannel& channel = plan.channels.emplace_back();
        channel.from = static_cast<std::uint16_t>(i - 1);
        channel.to = i;
        channel.by = PassBy::value;
        channel.dispatch = Dispatch::direct;
        plan.stages[channel.from].outputs.push_back(static_cast<std::uint16_t>(i - 1));
    }
    return plan;
}

/// Ranks of one process that believe themselves at these places.
struct Ranks {
    explicit Ranks(const std::vector<std::string>& places) : plan{line_of(places.size())}, lines(places.size()) {
        test::Meeting meeting{static_cast<Rank>(places.size())};
        std::vector<std::future<std::unique_ptr<RankWatch>>> made;
        for (Rank rank = 0; rank < places.size(); ++rank) {
            made.push_back(std::async(std::launch::async, [&, rank] {
                test::MeetingBootstrap bootstrap{meeting, rank};
                return std::make_unique<RankWatch>(RankWatch::Setup{
                    .bootstrap = bootstrap,
                    .plan = plan,
                    .lines = lines[rank],
                    .silence = std::chrono::seconds{8},
                    .on_orphaned = [this](const std::string&, bool is_silent) { orphans += is_silent ? 100 : 1; },
                    .place = places[rank],
                    .host = "on-" + places[rank]});
            }));
        }
        for (auto& each : made) watches.push_back(each.get());
    }

    void end(Rank rank) {
        watches[rank].reset();
        lines[rank].clear();
    }

    /// The next that are lost, in the order of their ranks.
    [[nodiscard]] std::vector<Rank> wait_for_lost(std::size_t count) const {
        std::vector<Rank> ranks;
        const auto deadline = SteadyClock::now() + test::longest_wait;
        while (ranks.size() < count && SteadyClock::now() < deadline) {
            for (const auto& lost : watches[0]->lost()) ranks.push_back(lost.rank);
            std::this_thread::yield();
        }
        std::sort(ranks.begin(), ranks.end());
        return ranks;
    }

    Plan plan;
    std::vector<std::vector<File>> lines;
    std::atomic<int> orphans{0};
    std::vector<std::unique_ptr<RankWatch>> watches;
};

[[nodiscard]] bool has_network() {
    const Ranks ranks{{"a", "b"}};
    return !ranks.lines[1].empty();
}

TEST(RankWatchTest, NoticesTheEndOfARankElsewhereOnce) {
    if (!has_network()) GTEST_SKIP() << "this host has no address but the loopback";
    Ranks ranks{{"a", "b", "b", "c"}};
    EXPECT_THAT(ranks.watches[0]->lost(), IsEmpty());

    ranks.end(3);
    EXPECT_THAT(ranks.wait_for_lost(1), ElementsAre(3U));
    ranks.end(1);
    ranks.end(2);
    EXPECT_THAT(ranks.wait_for_lost(2), ElementsAre(1U, 2U));
    EXPECT_THAT(ranks.watches[0]->lost(), IsEmpty());
}

TEST(RankWatchTest, ConnectsHostsThatExchangePayloadsByOnePairOfRanks) {
    if (!has_network()) GTEST_SKIP() << "this host has no address but the loopback";
    const Ranks ranks{{"a", "b", "c", "b", "c", "d"}};
    std::vector<std::size_t> ends;
    for (const auto& lines : ranks.lines) ends.push_back(lines.size());

    // All others with rank 0, b with c, and c with d; b and d exchange nothing.
    EXPECT_THAT(ends, ElementsAre(5U, 2U, 2U, 1U, 2U, 2U));
    EXPECT_EQ(ranks.watches[0]->unwatched(), "");
}

TEST(RankWatchTest, NamesBothEndsOfALinkThatARankReports) {
    if (!has_network()) GTEST_SKIP() << "this host has no address but the loopback";
    const Ranks ranks{{"a", "b", "c"}};
    const std::string report = "1\n77\nx\n";  // the others are no ranks
    ASSERT_EQ(write(ranks.lines[2].front().get(), report.data(), report.size()), 6 + 1);

    std::vector<Supervisor::Lost> lost;
    const auto deadline = SteadyClock::now() + test::longest_wait;
    while (lost.empty() && SteadyClock::now() < deadline) lost = ranks.watches[0]->lost();

    ASSERT_EQ(lost.size(), 1U);
    EXPECT_EQ(lost[0].rank, 1U);
    EXPECT_EQ(lost[0].seen_by, 2U);
    EXPECT_EQ(
        lost[0].how,
        "on on-b has given no sign of life to b.0 (rank 2) on on-c for 8 s: the link between the hosts is cut, or "
        "on-b is down");
    EXPECT_THAT(ranks.watches[0]->lost(), IsEmpty());
}

TEST(RankWatchTest, LeavesTheEndOfAProcessBeyondALinkToRankZero) {
    if (!has_network()) GTEST_SKIP() << "this host has no address but the loopback";
    Ranks ranks{{"a", "b", "c"}};
    ranks.end(2);

    EXPECT_THAT(ranks.wait_for_lost(1), ElementsAre(2U));
    EXPECT_THAT(ranks.watches[0]->lost(), IsEmpty());
    EXPECT_EQ(ranks.orphans, 0);
}

TEST(RankWatchTest, NeedsNoConnectionOnTheSameNode) {
    const Ranks ranks{{"a", "a", "a"}};
    for (const auto& lines : ranks.lines) EXPECT_TRUE(lines.empty());
    EXPECT_THAT(ranks.watches[0]->lost(), IsEmpty());
}

TEST(RankWatchTest, TellsTheOthersOfTheEndOfTheFirst) {
    if (!has_network()) GTEST_SKIP() << "this host has no address but the loopback";
    Ranks ranks{{"a", "b", "c", "a"}};
    EXPECT_EQ(ranks.orphans, 0);

    ranks.lines[0].clear();
    const auto deadline = SteadyClock::now() + test::longest_wait;
    while (ranks.orphans < 2 && SteadyClock::now() < deadline) std::this_thread::yield();
    EXPECT_EQ(ranks.orphans, 2);
}

TEST(RankWatchTest, WatchesNobodyByNumberWhereProcessSpacesAreUnknown) {
    Ranks ranks{{"unknown", "unknown"}};
    if (ranks.lines[1].empty()) GTEST_SKIP() << "this host has no address but the loopback";
    ranks.end(1);
    EXPECT_THAT(ranks.wait_for_lost(1), ElementsAre(1U));
}

TEST(RankWatchTest, KnowsItsProcessSpace) {
    EXPECT_EQ(process_space(), process_space());
    EXPECT_EQ(process_space().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace penstock
