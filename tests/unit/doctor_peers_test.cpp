#include <chrono>
#include <future>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doctor/heat_map.hpp"
#include "doctor/peers.hpp"
#include "doctor/tournament.hpp"
#include "support/in_process_world.hpp"

namespace penstock::doctor {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(Tournament, EveryPairMeetsOnceAndNobodyTwiceInARound) {
    for (Rank ranks = 0; ranks < 20; ++ranks) {
        std::map<std::pair<Rank, Rank>, int> met;
        const auto rounds = tournament(ranks);
        for (const auto& round : rounds) {
            std::set<Rank> busy;
            for (const auto& pair : round) {
                EXPECT_LT(pair.first, pair.second);
                EXPECT_LT(pair.second, ranks);
                EXPECT_TRUE(busy.insert(pair.first).second);
                EXPECT_TRUE(busy.insert(pair.second).second);
                ++met[pair];
            }
        }
        EXPECT_EQ(met.size(), ranks < 2 ? 0U : std::size_t{ranks} * (ranks - 1) / 2) << ranks;
        for (const auto& [pair, times] : met) EXPECT_EQ(times, 1) << pair.first << ", " << pair.second;
        EXPECT_EQ(rounds.size(), ranks < 2 ? 0U : ranks - 1 + ranks % 2);
    }
}

/// Ranks as threads, over shared memory. @param silent  Takes part in the start and then does nothing.
[[nodiscard]] PeerMatrix measure_in_threads(Rank ranks, PeerOptions options, Rank silent = 0) {
    options.arena_bytes = std::uint64_t{16} << 20U;
    test::Meeting meeting{ranks};
    std::promise<void> over;
    const std::shared_future<void> is_over = over.get_future().share();
    std::vector<std::future<PeerMatrix>> all;
    for (Rank rank = 0; rank < ranks; ++rank) {
        all.push_back(std::async(std::launch::async, [&meeting, &options, is_over, rank, silent] {
            test::MeetingBootstrap bootstrap{meeting, rank};
            PeerProbe probe{bootstrap, options};
            if (silent != 0 && rank == silent) {
                is_over.wait();
                return PeerMatrix{};
            }
            return probe.run();
        }));
    }
    PeerMatrix matrix = all.front().get();
    over.set_value();
    for (Rank rank = 1; rank < ranks; ++rank) all[rank].get();
    return matrix;
}

void expect_all_measured(const PeerMatrix& matrix, Rank ranks) {
    ASSERT_EQ(matrix.ranks(), ranks);
    EXPECT_TRUE(matrix.is_complete());
    for (Rank from = 0; from < ranks; ++from) {
        for (Rank to = 0; to < ranks; ++to) {
            if (from == to) continue;
            EXPECT_EQ(matrix.at(from, to).transport, "shm") << from << " to " << to << matrix.at(from, to).problem;
            EXPECT_GT(matrix.at(from, to).latency_us, 0);
            EXPECT_GT(matrix.at(from, to).bytes_per_s, 0);
        }
    }
}

TEST(Peers, MeasuresEveryPairInBothDirections) {
    expect_all_measured(measure_in_threads(3, {.time = 50ms, .patience = 10s}), 3);
}

TEST(Peers, MeasuresPairsAtTheSameTime) {
    expect_all_measured(measure_in_threads(4, {.time = 50ms, .patience = 10s, .together = true}), 4);
}

TEST(Peers, OneRankHasNoPeers) {
    const PeerMatrix matrix = measure_in_threads(1, {.time = 50ms, .patience = 10s});

    EXPECT_TRUE(matrix.is_complete());
    EXPECT_THAT(heat_map_text(matrix, false), HasSubstr("one rank only"));
}

TEST(Peers, NamesTheRankThatDoesNotAnswerAndMeasuresTheOthers) {
    const PeerMatrix matrix = measure_in_threads(3, {.time = 50ms, .patience = 300ms}, 2);

    EXPECT_FALSE(matrix.is_complete());
    EXPECT_EQ(matrix.at(0, 1).problem, "");
    EXPECT_EQ(matrix.at(1, 0).transport, "shm");
    for (const auto& [from, to] : {std::pair{0U, 2U}, {2U, 0U}, {1U, 2U}, {2U, 1U}}) {
        EXPECT_THAT(matrix.at(from, to).problem, testing::ContainsRegex("rank 2 on .* did not answer within"));
    }
}

// --- drawings ---

[[nodiscard]] PeerMatrix made(Rank ranks) {
    PeerMatrix matrix{.hosts = {}, .pairs = std::vector<PairFigures>(std::size_t{ranks} * ranks)};
    for (Rank rank = 0; rank < ranks; ++rank) matrix.hosts.push_back(rank < ranks / 2 ? "h1" : "h<2>&");
    for (Rank from = 0; from < ranks; ++from) {
        for (Rank to = 0; to < ranks; ++to) {
            const bool near = matrix.hosts[from] == matrix.hosts[to];
            if (from != to) {
                matrix.at(from, to) = {.latency_us = near ? 0.25 : 150.0,
                                       .bytes_per_s = near ? 12e9 : 1.25e9,
                                       .transport = near ? "shm" : "ucx"};
            }
        }
    }
    return matrix;
}

TEST(HeatMap, HasNumbersOfFewRanksAndDarkensTheSlowOnes) {
    const std::string text = heat_map_text(made(4), false);

    EXPECT_THAT(text, HasSubstr("     0       -    0.25.    150@    150@  h1\n"));
    EXPECT_THAT(text, HasSubstr("     3    1.25@   1.25@     12.      -   h<2>&\n"));
    EXPECT_THAT(text, HasSubstr("measured: 4 over shm, 8 over ucx\n"));
}

TEST(HeatMap, HasShadesOfManyRanks) {
    const std::string text = heat_map_text(made(40), false);

    EXPECT_THAT(text, HasSubstr("     1 .-" + std::string(18, '.') + std::string(20, '@') + "  h1\n"));
}

TEST(HeatMap, UsesBlocksWhereTheyCanBeShown) {
    EXPECT_THAT(heat_map_text(made(4), true), HasSubstr("150\u2588"));
    EXPECT_THAT(heat_map_text(made(4), false), Not(HasSubstr("\u2588")));
}

TEST(HeatMap, MarksWhatWasNotMeasuredAndSaysWhy) {
    PeerMatrix matrix = made(2);
    matrix.at(0, 1) = {.problem = "rank 1 on h2 did not answer"};
    const std::string text = heat_map_text(matrix, false);

    EXPECT_THAT(text, HasSubstr("     0       -       X   h1\n"));
    EXPECT_THAT(text, HasSubstr("X 1 of the pairs: rank 1 on h2 did not answer\n"));
}

TEST(HeatMap, PairsThatAreAlikeHaveOneShade) {
    PeerMatrix matrix = made(2);
    matrix.at(0, 1).latency_us = 1.0;
    matrix.at(1, 0).latency_us = 1.1;
    const Scale scale{matrix, Scale::Of::latency};

    EXPECT_EQ(scale.slowness(matrix.at(0, 1)), 0);
    EXPECT_EQ(scale.slowness(matrix.at(1, 0)), 0);
}

TEST(HeatMap, IsAPictureWhoseTextIsNoMarkup) {
    PeerMatrix matrix = made(4);
    matrix.at(0, 1) = {.problem = "<script>"};
    const std::string svg = heat_map_svg(matrix);

    EXPECT_THAT(svg, testing::StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
    EXPECT_THAT(svg, HasSubstr("h&lt;2&gt;&amp; 3</text>"));
    EXPECT_THAT(svg, HasSubstr("fill=\"black\"><title>0 to 1: &lt;script&gt;</title>"));
    EXPECT_THAT(svg, HasSubstr("fill=\"#cc3333\"><title>0 to 3: 150 us, 1.25 GB/s, ucx</title>"));
}

TEST(HeatMap, APictureOfManyRanksStaysSmall) {
    EXPECT_LT(heat_map_svg(made(128)).size(), std::size_t{8} << 20U);
}

}  // namespace
}  // namespace penstock::doctor
