#include "launch/rank_watch.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "support/in_process_world.hpp"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// Ranks of one process that believe themselves at these places.
struct Ranks {
    explicit Ranks(const std::vector<std::string>& places) : lines(places.size()) {
        test::Meeting meeting{static_cast<Rank>(places.size())};
        std::vector<std::future<std::unique_ptr<RankWatch>>> made;
        for (Rank rank = 0; rank < places.size(); ++rank) {
            made.push_back(std::async(std::launch::async, [&, rank] {
                test::MeetingBootstrap bootstrap{meeting, rank};
                return std::make_unique<RankWatch>(
                    bootstrap, lines[rank], [this] { orphans.fetch_add(1); }, places[rank]);
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
    EXPECT_EQ(RankWatch::process_space(), RankWatch::process_space());
    EXPECT_EQ(RankWatch::process_space().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace penstock
