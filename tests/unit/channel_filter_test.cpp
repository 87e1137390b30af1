// What filter and sample of a channel let through, and that the rest is counted and freed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/in_process_world.hpp"

namespace penstock::test {
namespace {

using ::testing::ElementsAre;

void publish_key(Sender& sender, std::uint64_t value, std::int64_t key, std::size_t bytes = 1000) {
    RawDraft draft{sender.make(value, bytes)};
    draft.set("key", key);
    sender.out.publish(draft.release());
}

TEST(ChannelFilter, LetsThroughWhatPassesAndCountsTheRest) {
    auto shape = channel_shape(1, 1);
    shape.filter = "key >= 7";
    ChannelWorld net{shape};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 10; ++i) publish_key(net.senders[0], i, static_cast<std::int64_t>(i));
    net.senders[0].publish(10);  // without the key
    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(7, 8, 9));
    EXPECT_EQ(net.senders[0].status.published, 3U);
    EXPECT_EQ(net.senders[0].status.filtered, 8U);
    EXPECT_EQ(net.senders[0].status.dropped, 0U);
}

TEST(ChannelFilter, FreesWhatItKeepsOutAtOnce) {
    auto shape = channel_shape(1, 1);
    shape.filter = "key missing";
    ChannelWorld net{shape};
    const std::size_t before = net.world[0].arena.used_bytes();

    publish_key(net.senders[0], 1, 1, 100'000);

    EXPECT_EQ(net.world[0].arena.used_bytes(), before);
}

TEST(ChannelFilter, CountsAPayloadOnceHoweverManyReceiversThereAre) {
    auto shape = channel_shape(1, 3);
    shape.route = Route::broadcast;
    shape.filter = "key exists";
    ChannelWorld net{shape};
    net.let_all_read();

    net.senders[0].publish(1);
    publish_key(net.senders[0], 2, 0);
    net.end();

    EXPECT_EQ(net.senders[0].status.filtered, 1U);
    EXPECT_EQ(net.senders[0].status.published, 3U);
}

TEST(ChannelFilter, KeepsAwayFromTheRouteWhatLacksItsKey) {
    auto shape = channel_shape(1, 2);
    shape.route = Route::hash;
    shape.key = "key";
    shape.filter = "key exists";
    ChannelWorld net{shape};
    net.let_all_read();

    net.senders[0].publish(1);  // would be an error without the filter
    publish_key(net.senders[0], 2, 5);
    net.end();

    EXPECT_EQ(net.receivers[0].values.size() + net.receivers[1].values.size(), 1U);
}

TEST(ChannelSample, HandsOnTheFirstOfEverySoMany) {
    auto shape = channel_shape(1, 1);
    shape.sample = 4;
    ChannelWorld net{shape};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 10; ++i) net.senders[0].publish(i);
    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 4, 8));
    EXPECT_EQ(net.senders[0].status.skipped, 7U);
    EXPECT_EQ(net.senders[0].status.published, 3U);
}

TEST(ChannelSample, CountsWhatPassesTheFilter) {
    auto shape = channel_shape(1, 1);
    shape.filter = "key >= 5";
    shape.sample = 2;
    ChannelWorld net{shape};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 10; ++i) publish_key(net.senders[0], i, static_cast<std::int64_t>(i));
    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(5, 7, 9));
    EXPECT_EQ(net.senders[0].status.filtered, 5U);
    EXPECT_EQ(net.senders[0].status.skipped, 2U);
}

TEST(ChannelFilter, WorksBeforeRankZeroIsAsked) {
    auto shape = central_shape(2, 2);
    shape.filter = "key < 3";
    shape.sample = 2;
    ChannelWorld net{shape};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 8; ++i) {
        for (Sender& sender : net.senders) publish_key(sender, i, static_cast<std::int64_t>(i));
    }
    net.end();

    EXPECT_EQ(net.broker->view().published, 4U) << "0 and 2 of each producer";
    EXPECT_EQ(net.senders[0].status.filtered, 5U);
    EXPECT_EQ(net.senders[0].status.skipped, 1U);
}

}  // namespace
}  // namespace penstock::test
