#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/in_process_world.hpp"
#include "unit/error_of.hpp"

namespace penstock::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

[[nodiscard]] ChannelShape overflowing(Overflow overflow, std::uint32_t capacity) {
    ChannelShape shape = channel_shape(1, 1);
    shape.overflow = overflow;
    shape.capacity = capacity;
    return shape;
}

/// 100 payloads to a consumer that does not read, then the end.
struct Flooded {
    explicit Flooded(const ChannelShape& shape) : net{shape} {
        for (std::uint64_t i = 0; i < 100; ++i) net.senders[0].publish(i, 1000);
        dropped_before_reading = sender().dropped;
        held_bytes = net.world[0].arena.used_bytes();
        net.end();
    }
    [[nodiscard]] const ChannelStatus& sender() const { return net.senders[0].status; }
    [[nodiscard]] const std::vector<std::uint64_t>& values() const { return net.receivers[0].values; }

    /// Nothing is lost silently.
    void expect_exact_counts() const {
        EXPECT_EQ(sender().published, 100U);
        EXPECT_EQ(sender().published, sender().sent + sender().dropped);
        EXPECT_EQ(sender().sent, values().size());
        EXPECT_EQ(sender().settled, sender().sent);
        EXPECT_EQ(net.receivers[0].status.sent, values().size());
        EXPECT_EQ(sender().dropped, dropped_before_reading) << "the rest was delivered at the end";
    }

    ChannelWorld net;
    std::uint64_t dropped_before_reading = 0;
    std::size_t held_bytes = 0;
};

TEST(DropNewest, KeepsWhatCameFirst) {
    const Flooded flooded{overflowing(Overflow::drop_newest, 4)};

    EXPECT_THAT(flooded.values(), ElementsAre(0, 1, 2, 3));
    flooded.expect_exact_counts();
}

TEST(DropOldest, KeepsWhatCameLastBehindWhatHadGone) {
    const Flooded flooded{overflowing(Overflow::drop_oldest, 8)};

    EXPECT_THAT(flooded.values(), ElementsAre(0, 1, 2, 3, 96, 97, 98, 99));
    flooded.expect_exact_counts();
}

TEST(Latest, KeepsTheLastBehindTheOneThatHadGone) {
    const Flooded flooded{overflowing(Overflow::latest, 8)};

    EXPECT_THAT(flooded.values(), ElementsAre(0, 99));
    flooded.expect_exact_counts();
}

TEST(Overflowing, WorksWithACapacityOfOne) {
    const Flooded newest{overflowing(Overflow::drop_newest, 1)};
    const Flooded oldest{overflowing(Overflow::drop_oldest, 1)};
    const Flooded latest{overflowing(Overflow::latest, 1)};

    EXPECT_THAT(newest.values(), ElementsAre(0));
    EXPECT_THAT(oldest.values(), ElementsAre(0, 99));
    EXPECT_THAT(latest.values(), ElementsAre(0, 99));
    newest.expect_exact_counts();
    oldest.expect_exact_counts();
    latest.expect_exact_counts();
}

TEST(Overflowing, FreesTheMemoryOfWhatItDrops) {
    const std::size_t idle = ChannelWorld{channel_shape(1, 1)}.world[0].arena.used_bytes();

    for (const Overflow policy : {Overflow::drop_newest, Overflow::drop_oldest, Overflow::latest}) {
        Flooded flooded{overflowing(policy, 8)};
        EXPECT_LE(flooded.held_bytes - idle, 8U * 1024U) << name_of(policy);
        EXPECT_EQ(flooded.net.world[0].arena.used_bytes(), idle) << name_of(policy);
    }
}

TEST(DropOldest, IsBoundedWhenThereAreMoreSendersThanPlaces) {
    auto shape = channel_shape(3, 1);
    shape.overflow = Overflow::drop_oldest;
    shape.capacity = 2;
    ChannelWorld net{shape};

    for (Sender& sender : net.senders) {
        for (std::uint64_t i = 0; i < 100; ++i) sender.publish(i, 1000);
    }

    for (const Sender& sender : net.senders) EXPECT_EQ(sender.status.dropped, 98U);
    net.end();
    EXPECT_EQ(net.receivers[0].values.size(), 6U);
}

TEST(DropOldest, SendsWhatItHeldBackBeforeWhatIsNew) {
    ChannelWorld net{overflowing(Overflow::drop_oldest, 4)};
    Sender& sender = net.senders[0];
    for (std::uint64_t i = 0; i < 4; ++i) sender.publish(i);

    net.world.turn();
    net.receivers[0].read();
    net.world[0].reactor.poll();
    sender.publish(4);
    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 1, 2, 3, 4));
    EXPECT_EQ(sender.status.dropped, 0U);
}

TEST(ErrorOnOverflow, ThrowsWhatIsMissingAndLosesOnlyThatPayload) {
    ChannelWorld net{overflowing(Overflow::error, 4)};
    Sender& sender = net.senders[0];
    for (std::uint64_t i = 0; i < 4; ++i) sender.publish(i);
    const std::size_t used = net.world[0].arena.used_bytes();

    const Error error = error_of([&] { sender.publish(4, 1000); });

    EXPECT_EQ(error.code(), Errc::exhausted);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("'edge'"), HasSubstr("'error'"), HasSubstr("capacity")));
    EXPECT_EQ(net.world[0].arena.used_bytes(), used);
    EXPECT_EQ(sender.status.dropped, 1U);
    net.end();
    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 1, 2, 3));
}

TEST(ErrorOnOverflow, CountsTheReceiversThatABroadcastReached) {
    auto shape = channel_shape(1, 3);
    shape.route = Route::broadcast;
    shape.overflow = Overflow::error;
    shape.capacity = 1;
    ChannelWorld net{shape};
    net.senders[0].publish(0);
    net.world.turn();
    net.receivers[0].read();  // only this one has room again
    net.world.turn();

    EXPECT_EQ(error_of([&] { net.senders[0].publish(1, 1000); }).code(), Errc::exhausted);

    EXPECT_EQ(net.senders[0].status.published, 5U);
    EXPECT_EQ(net.senders[0].status.sent, 4U);
    EXPECT_EQ(net.senders[0].status.dropped, 1U);
    net.end();
    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 1));
    EXPECT_THAT(net.receivers[1].values, ElementsAre(0));
}

TEST(Overflowing, IsDecidedForEachReceiverOfABroadcast) {
    auto shape = channel_shape(1, 2);
    shape.route = Route::broadcast;
    shape.overflow = Overflow::drop_newest;
    shape.capacity = 2;
    ChannelWorld net{shape};
    net.let_read(0);

    for (std::uint64_t i = 0; i < 10; ++i) {
        net.senders[0].publish(i, 1000);
        net.world.turn();
        net.world.turn();
    }
    net.end();

    EXPECT_EQ(net.receivers[0].values.size(), 10U);
    EXPECT_THAT(net.receivers[1].values, ElementsAre(0, 1));
    EXPECT_EQ(net.senders[0].status.published, 20U);
    EXPECT_EQ(net.senders[0].status.dropped, 8U);
}

TEST(Block, GivesUpThePayloadWhenTheRunIsInterrupted) {
    ChannelWorld net{overflowing(Overflow::block, 1)};
    Sender& sender = net.senders[0];
    sender.publish(0);
    const std::size_t used = net.world[0].arena.used_bytes();
    net.world.on_turn(1, [&] { net.world[0].reactor.interrupt(); });

    EXPECT_THROW(sender.publish(1, 1000), Interrupted);

    EXPECT_EQ(net.world[0].arena.used_bytes(), used);
    EXPECT_EQ(sender.status.dropped, 1U);
}

}  // namespace
}  // namespace penstock::test
