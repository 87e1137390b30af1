#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/in_process_world.hpp"
#include "unit/error_of.hpp"

namespace penstock::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

using Values = std::vector<std::uint64_t>;

[[nodiscard]] Values numbers(std::uint64_t first, std::uint64_t end) {
    Values values(end - first);
    std::iota(values.begin(), values.end(), first);
    return values;
}

[[nodiscard]] ChannelShape routed(Route route, std::uint32_t senders, std::uint32_t receivers) {
    ChannelShape shape = channel_shape(senders, receivers);
    shape.route = route;
    if (route == Route::hash) shape.key = "key";
    return shape;
}

[[nodiscard]] Values all_values(const ChannelWorld& net) {
    Values all;
    for (const Receiver& receiver : net.receivers)
        all.insert(all.end(), receiver.values.begin(), receiver.values.end());
    std::sort(all.begin(), all.end());
    return all;
}

/// From which sender a value comes, when sender i publishes i * 1000 and up.
void publish_from_all(ChannelWorld& net, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        for (std::size_t sender = 0; sender < net.senders.size(); ++sender)
            net.senders[sender].publish(sender * 1000 + i);
    }
}

void expect_order_per_sender(const Values& values) {
    std::map<std::uint64_t, std::uint64_t> last;
    for (const std::uint64_t value : values) {
        const auto before = last.find(value / 1000);
        if (before != last.end()) {
            EXPECT_LT(before->second, value);
        }
        last[value / 1000] = value;
    }
}

TEST(RoundRobin, TakesTurnsWhateverTheReceiversDo) {
    ChannelWorld net{routed(Route::round_robin, 1, 3)};

    for (std::uint64_t i = 0; i < 30; ++i) net.senders[0].publish(i);
    net.end();

    for (std::uint64_t receiver = 0; receiver < 3; ++receiver) {
        const Values& values = net.receivers[receiver].values;
        ASSERT_EQ(values.size(), 10U);
        for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(values[i], receiver + 3 * i);
    }
}

TEST(RoundRobin, WaitsForTheReceiverWhoseTurnItIs) {
    auto shape = routed(Route::round_robin, 1, 2);
    shape.capacity = 2;
    ChannelWorld net{shape};
    net.let_read(0);
    int waits = 0;
    net.world.on_turn(2, [&] {
        if (++waits == 10) net.let_read(1);
    });

    for (std::uint64_t i = 0; i < 10; ++i) net.senders[0].publish(i);

    EXPECT_GE(waits, 10) << "the sender went past a full receiver";
    net.end();
    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 2, 4, 6, 8));
    EXPECT_THAT(net.receivers[1].values, ElementsAre(1, 3, 5, 7, 9));
}

TEST(Balance, GivesEachPayloadToOneReceiver) {
    ChannelWorld net{routed(Route::balance, 2, 3)};
    net.let_all_read();

    publish_from_all(net, 300);
    net.end();

    Values expected = numbers(0, 300);
    const Values second = numbers(1000, 1300);
    expected.insert(expected.end(), second.begin(), second.end());
    EXPECT_EQ(all_values(net), expected);
    for (const Receiver& receiver : net.receivers) {
        expect_order_per_sender(receiver.values);
        EXPECT_GT(receiver.values.size(), 100U) << "equal receivers had unequal shares";
    }
}

TEST(Balance, TakesTurnsAmongReceiversThatAreEquallyFree) {
    ChannelWorld net{routed(Route::balance, 1, 3)};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 9; ++i) {
        net.senders[0].publish(i);
        net.world.turn();
        net.world.turn();
    }

    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 3, 6));
    EXPECT_THAT(net.receivers[1].values, ElementsAre(1, 4, 7));
    EXPECT_THAT(net.receivers[2].values, ElementsAre(2, 5, 8));
}

TEST(Balance, GoesPastAReceiverThatDoesNotRead) {
    auto shape = routed(Route::balance, 1, 2);
    shape.capacity = 4;
    ChannelWorld net{shape};
    net.let_read(1);

    for (std::uint64_t i = 0; i < 100; ++i) net.senders[0].publish(i);

    EXPECT_EQ(net.receivers[0].values.size(), 0U);
    net.end();
    EXPECT_EQ(net.receivers[0].values.size(), 4U) << "exactly its credits";
    EXPECT_EQ(all_values(net), numbers(0, 100));
}

TEST(Broadcast, GivesEveryPayloadToEveryReceiver) {
    ChannelWorld net{routed(Route::broadcast, 2, 3)};
    net.let_all_read();

    publish_from_all(net, 100);
    net.end();

    for (Receiver& receiver : net.receivers) {
        expect_order_per_sender(receiver.values);
        std::sort(receiver.values.begin(), receiver.values.end());
        Values expected = numbers(0, 100);
        const Values second = numbers(1000, 1100);
        expected.insert(expected.end(), second.begin(), second.end());
        EXPECT_EQ(receiver.values, expected);
    }
    EXPECT_EQ(net.senders[0].status.published, 300U);
    EXPECT_EQ(net.senders[0].status.sent, 300U);
}

void publish_key(Sender& sender, std::uint64_t value, const MetaValue& key) {
    RawDraft draft{sender.make(value)};
    draft.set("other", 1);
    draft.set("key", key);
    sender.out.publish(draft.release());
}

TEST(Hash, SendsOneKeyToOneReceiverFromWhereverItComes) {
    ChannelWorld net{routed(Route::hash, 2, 4)};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 400; ++i) {
        publish_key(net.senders[0], i, MetaValue{static_cast<std::int64_t>(i % 50)});
        publish_key(net.senders[1], 1000 + i, MetaValue{static_cast<std::int64_t>(i % 50)});
    }
    net.end();

    std::map<std::uint64_t, std::size_t> receiver_of_key;
    std::size_t busy = 0;
    for (std::size_t receiver = 0; receiver < 4; ++receiver) {
        busy += net.receivers[receiver].values.empty() ? 0 : 1;
        for (const std::uint64_t value : net.receivers[receiver].values) {
            const auto known = receiver_of_key.try_emplace(value % 1000 % 50, receiver);
            EXPECT_EQ(known.first->second, receiver) << "value " << value;
        }
    }
    EXPECT_EQ(all_values(net).size(), 800U);
    EXPECT_EQ(receiver_of_key.size(), 50U);
    EXPECT_EQ(busy, 4U) << "50 keys left a receiver without any";
}

TEST(Hash, TakesKeysOfEveryKind) {
    ChannelWorld net{routed(Route::hash, 1, 2)};
    const std::array<std::byte, 2> raw{std::byte{1}, std::byte{2}};
    const std::vector<MetaValue> keys{std::int64_t{-1}, 0.5, true, std::string_view{"name"},
                                      std::span<const std::byte>{raw}};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 20; ++i) publish_key(net.senders[0], i, keys[i % keys.size()]);
    net.end();

    EXPECT_EQ(all_values(net), numbers(0, 20));
    for (std::size_t receiver = 0; receiver < 2; ++receiver) EXPECT_EQ(net.receivers[receiver].values.size() % 4, 0U);
}

TEST(Hash, RefusesAPayloadWithoutTheKeyAndFreesIt) {
    ChannelWorld net{routed(Route::hash, 1, 2)};
    const std::size_t before = net.world[0].arena.used_bytes();

    const Error error = error_of([&] { net.senders[0].publish(1, 1000); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("'edge'"), HasSubstr("'key'")));
    EXPECT_EQ(net.world[0].arena.used_bytes(), before);
}

TEST(Payloads, OfABurstArriveWhileTheirSenderIsBusy) {
    ChannelWorld net{channel_shape(1, 1)};
    for (std::uint64_t i = 0; i < 12; ++i) net.senders[0].publish(i, 100);

    // Nobody flushes or polls for the sender.
    for (int look = 0; look < 100; ++look) net.world[1].reactor.poll();

    for (std::uint64_t i = 0; i < 12; ++i) EXPECT_TRUE(net.receivers[0].take()) << i;
}

TEST(Blobs, ArriveWholeWhateverTheirSize) {
    ChannelWorld net{channel_shape(1, 1)};
    std::uint64_t value = 0;

    for (const std::size_t bytes : {0U, 1U, 7U, 8U, 255U, 256U, 257U, 4096U, 100'000U, 3'000'000U}) {
        value = 0x0101010101010101U * (bytes % 200 + 1);
        net.senders[0].publish(value, bytes);
        net.world[0].reactor.flush();
        net.world[1].reactor.poll();
        const Payload payload = net.receivers[0].take();
        ASSERT_TRUE(payload);
        ASSERT_EQ(payload.size_bytes(), bytes);
        const auto blob = payload.bytes();
        EXPECT_TRUE(std::all_of(blob.begin(), blob.end(), [&](std::byte byte) {
            return byte == static_cast<std::byte>(value);
        })) << bytes;
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blob.data()) % 64, 0U);
        EXPECT_EQ(payload.id(), (PayloadId{.instance = 0, .channel = 0, .sequence = value}));
    }
}

/// The bytes of a large blob are the sender's own: nothing is copied on the way.
TEST(Blobs, OfSomeSizeStayInTheMemoryOfTheirOwner) {
    ChannelWorld net{channel_shape(1, 1)};
    const std::size_t before = net.world[1].arena.used_bytes();
    PayloadBody* body = net.senders[0].make(7, 1'000'000);
    auto* mine = const_cast<std::byte*>(body->data);

    net.senders[0].out.publish(body);
    net.world[1].reactor.poll();
    const Payload payload = net.receivers[0].take();
    const auto seen = payload.bytes();

    EXPECT_EQ(net.world[1].arena.used_bytes(), before);
    mine[999'999] = std::byte{0x33};
    EXPECT_EQ(seen[999'999], std::byte{0x33});
}

TEST(Credits, LimitPayloadsInTheQueue) {
    auto shape = channel_shape(1, 1);
    shape.capacity = 4;
    shape.overflow = Overflow::drop_newest;
    ChannelWorld net{shape};

    for (std::uint64_t i = 0; i < 10; ++i) net.senders[0].publish(i);
    net.world.turn();

    EXPECT_EQ(net.receivers[0].status.queued, 4U);
    EXPECT_EQ(net.senders[0].status.credits, 0U);
    net.receivers[0].read();
    net.world.turn();
    EXPECT_EQ(net.senders[0].status.credits, 4U);
    EXPECT_EQ(net.receivers[0].status.queued, 0U);
}

TEST(Credits, LimitBytesInTheQueue) {
    auto shape = channel_shape(1, 1);
    shape.capacity_bytes = 1000;
    shape.overflow = Overflow::drop_newest;
    ChannelWorld net{shape};

    for (std::uint64_t i = 0; i < 10; ++i) net.senders[0].publish(i, 400);
    net.senders[0].publish(10, 200);
    net.senders[0].publish(11, 1);
    net.world.turn();

    EXPECT_EQ(net.receivers[0].status.queued, 3U);
    net.end();
    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 1, 10));
}

TEST(Credits, LetALargerPayloadThanTheQueueHoldsGoAlone) {
    auto shape = channel_shape(1, 1);
    shape.capacity_bytes = 1000;
    shape.overflow = Overflow::drop_newest;
    ChannelWorld net{shape};
    Sender& sender = net.senders[0];

    sender.publish(0, 100);
    sender.publish(1, 5000);  // not beside another one
    net.world.turn();
    net.receivers[0].read();
    net.world.turn();
    sender.publish(2, 5000);
    sender.publish(3, 100);  // not beside the large one
    net.world.turn();
    net.receivers[0].read();
    net.world.turn();
    sender.publish(4, 1000);  // all credit is back, and no more than there was
    sender.publish(5, 1);
    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 2, 4));
}

TEST(Credits, BlockTheSenderWithoutLosingAnything) {
    for (const std::uint32_t capacity : {1U, 2U, 3U, 64U}) {
        auto shape = channel_shape(2, 2);
        shape.capacity = capacity;
        shape.capacity_bytes = 3000;
        ChannelWorld net{shape};
        std::mt19937 random{capacity};
        net.let_all_read();

        for (std::uint64_t i = 0; i < 200; ++i) {
            net.senders[0].publish(i, 8 + random() % 4000);
            net.senders[1].publish(1000 + i, 8 + random() % 4000);
        }
        net.end();

        EXPECT_EQ(all_values(net).size(), 400U) << "capacity " << capacity;
        for (const Receiver& receiver : net.receivers) expect_order_per_sender(receiver.values);
    }
}

TEST(End, IsAcknowledgedWhenAllIsSettledAndNotBefore) {
    ChannelWorld net{channel_shape(1, 1)};
    Sender& sender = net.senders[0];
    Receiver& receiver = net.receivers[0];
    for (std::uint64_t i = 0; i < 3; ++i) sender.publish(i, 1000);
    sender.out.end();
    net.world.turn();

    EXPECT_TRUE(receiver.in.ended());
    Payload kept = receiver.take();
    receiver.read();
    net.world.turn();
    EXPECT_FALSE(receiver.in.all_settled());
    EXPECT_FALSE(sender.out.finished());

    kept = Payload{};
    EXPECT_TRUE(receiver.in.all_settled());
    receiver.in.flush_returns();
    net.world.turn();
    EXPECT_FALSE(sender.out.finished()) << "settled, but the receiver has not acknowledged the end";
    receiver.in.acknowledge();
    net.world.turn();
    EXPECT_TRUE(sender.out.finished());
}

TEST(End, OfAnEmptyStreamIsAnEndToo) {
    ChannelWorld net{channel_shape(2, 2)};

    net.end();

    EXPECT_TRUE(all_values(net).empty());
    EXPECT_TRUE(net.senders[1].out.finished());
}

TEST(End, NeedsEverySender) {
    ChannelWorld net{channel_shape(2, 1)};

    net.senders[0].out.end();
    net.world.turn();
    EXPECT_FALSE(net.receivers[0].in.ended());

    net.senders[1].out.end();
    net.world.turn();
    EXPECT_TRUE(net.receivers[0].in.ended());
}

TEST(End, DescribesWhatIsStillUnderWay) {
    auto shape = channel_shape(1, 2);
    shape.capacity = 8;
    ChannelWorld net{shape};

    for (std::uint64_t i = 0; i < 3; ++i) net.senders[0].publish(i, 1000);

    EXPECT_EQ(net.senders[0].out.describe(), "rank 1: 6 credits, 2 unsettled, rank 2: 7 credits, 1 unsettled");
}

}  // namespace
}  // namespace penstock::test
