#include "launch/host_links.hpp"

#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan_samples.hpp"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

using Ends = HostLinks::Ends;

/// source -> middle -> sink, with so many instances each.
[[nodiscard]] Plan line_of(int sources, int middles, int sinks, Dispatch dispatch = Dispatch::direct,
                           PassBy by = PassBy::reference) {
    const auto join = [&](std::string from, std::string to) {
        return ChannelSpec{.from = std::move(from), .to = std::move(to), .dispatch = dispatch, .by = by};
    };
    return make_plan(PipelineBuilder{"line"}
                         .stage(stage("source", "any_source", sources))
                         .stage(stage("middle", "pass", middles))
                         .stage(stage("sink", "eat", sinks))
                         .channel(join("source", "middle"))
                         .channel(join("middle", "sink"))
                         .build(),
                     sample_registry());
}

/// Ranks on so many hosts, in turn.
[[nodiscard]] std::vector<std::string> in_turn(std::size_t ranks, std::size_t hosts) {
    std::vector<std::string> names;
    for (std::size_t rank = 0; rank < ranks; ++rank) names.push_back("h" + std::to_string(rank % hosts));
    return names;
}

TEST(HostLinksTest, OneHostHasNone) {
    const HostLinks links{line_of(2, 2, 2), in_turn(7, 1)};
    for (Rank rank = 0; rank < 7; ++rank) EXPECT_THAT(links.watched_by(rank), IsEmpty());
    EXPECT_THAT(links.between(1, 5), IsEmpty());
}

TEST(HostLinksTest, LinksToTheHostOfTheCoordinatorAreItsOwn) {
    const HostLinks links{line_of(2, 2, 2), in_turn(7, 2)};
    for (Rank rank = 0; rank < 7; ++rank) EXPECT_THAT(links.watched_by(rank), IsEmpty());
}

TEST(HostLinksTest, BothEndsAgreeAndEachPairOfHostsHasOne) {
    for (const std::size_t hosts : {3U, 4U, 7U}) {
        const std::vector<std::string> names = in_turn(31, hosts);
        const HostLinks links{line_of(10, 10, 10), names};
        std::multiset<std::pair<std::string, std::string>> found;
        for (Rank rank = 0; rank < names.size(); ++rank) {
            for (const Rank other : links.watched_by(rank)) {
                EXPECT_THAT(links.watched_by(other), ::testing::Contains(rank));
                found.emplace(std::min(names[rank], names[other]), std::max(names[rank], names[other]));
            }
        }
        const std::size_t pairs = (hosts - 1) * (hosts - 2) / 2;
        EXPECT_EQ(found.size(), 2 * pairs);
        EXPECT_EQ((std::set<std::pair<std::string, std::string>>{found.begin(), found.end()}.size()), pairs);
    }
}

TEST(HostLinksTest, SpreadsTheLinksOfAHostOverItsRanks) {
    // The stage of sources is on one host, each other instance on a host of its own.
    std::vector<std::string> names{"first", "many", "many", "many", "many"};
    for (int i = 0; i < 9; ++i) names.push_back("h" + std::to_string(i));
    const HostLinks links{line_of(4, 8, 1), names};
    for (Rank rank = 1; rank <= 4; ++rank) EXPECT_LE(links.watched_by(rank).size(), 3U);
}

TEST(HostLinksTest, HostsThatExchangeNothingHaveNone) {
    // Two sources do not speak with each other.
    const HostLinks links{line_of(2, 1, 1), {"a", "b", "c", "a", "a"}};
    EXPECT_THAT(links.watched_by(1), IsEmpty());
    EXPECT_THAT(links.between(1, 2), IsEmpty());
}

TEST(HostLinksTest, BlobsThatAreHandedOnAreFetchedFromTheirOwner) {
    const std::vector<std::string> hosts{"a", "b", "a", "c"};
    EXPECT_THAT((HostLinks{line_of(1, 1, 1), hosts}.watched_by(1)), ElementsAre(3U));
    EXPECT_THAT((HostLinks{line_of(1, 1, 1, Dispatch::central), hosts}.watched_by(1)), ElementsAre(3U));
    // A copy has another owner.
    EXPECT_THAT((HostLinks{line_of(1, 1, 1, Dispatch::direct, PassBy::value), hosts}.watched_by(1)), IsEmpty());
}

TEST(HostLinksTest, CopiesThroughTheCoordinatorNeedItAlone) {
    const std::vector<std::string> hosts{"a", "b", "c", "d"};
    const HostLinks direct{line_of(1, 1, 1, Dispatch::direct, PassBy::value), hosts};
    EXPECT_THAT(direct.watched_by(2), UnorderedElementsAre(1U, 3U));
    const HostLinks central{line_of(1, 1, 1, Dispatch::central, PassBy::value), hosts};
    for (Rank rank = 1; rank < 4; ++rank) EXPECT_THAT(central.watched_by(rank), IsEmpty());
}

TEST(HostLinksTest, ListsAllWhoLoseEachOther) {
    // b has a source and a middle, c the same and the sink.
    const HostLinks links{line_of(2, 2, 1), {"a", "b", "c", "b", "c", "c"}};
    EXPECT_THAT(links.between(1, 2), UnorderedElementsAre(Ends{1, 4}, Ends{3, 2}, Ends{1, 5}, Ends{3, 5}));
    EXPECT_THAT(links.between(4, 3), UnorderedElementsAre(Ends{4, 1}, Ends{2, 3}, Ends{5, 1}, Ends{5, 3}));
}

}  // namespace
}  // namespace penstock
