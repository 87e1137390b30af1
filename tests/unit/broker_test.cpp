// Central channels, whose tickets all go through the coordinator, and channels by value, whose blobs are copied on
// arrival.

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/in_process_world.hpp"
#include "unit/error_of.hpp"

namespace penstock::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Values = std::vector<std::uint64_t>;

[[nodiscard]] Values all_values(const ChannelWorld& net) {
    Values all;
    for (const Receiver& receiver : net.receivers)
        all.insert(all.end(), receiver.values.begin(), receiver.values.end());
    std::sort(all.begin(), all.end());
    return all;
}

void publish_key(Sender& sender, std::uint64_t value, std::uint64_t key, std::size_t bytes) {
    RawDraft draft{sender.make(value, bytes)};
    draft.set("key", key);
    sender.out.publish(draft.release());
}

/// Sender i publishes i * 1000 and up, in turns, of sizes inside and beyond a ticket.
void publish_from_all(ChannelWorld& net, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        for (std::size_t sender = 0; sender < net.senders.size(); ++sender)
            publish_key(net.senders[sender], sender * 1000 + i, i % 10, 8 + i * 37 % 2000);
    }
}

struct Case {
    Route route;
    PassBy by;
    std::uint32_t senders;
    std::uint32_t receivers;
    std::uint32_t capacity;
};
void PrintTo(const Case& one, std::ostream* out) {
    *out << name_of(one.route) << "By" << name_of(one.by) << one.senders << "to" << one.receivers << "by"
         << one.capacity;
}

class Central : public ::testing::TestWithParam<Case> {
protected:
    [[nodiscard]] static ChannelShape shape() {
        ChannelShape shape = central_shape(GetParam().senders, GetParam().receivers, GetParam().by);
        shape.route = GetParam().route;
        if (shape.route == Route::hash) shape.key = "key";
        shape.capacity = GetParam().capacity;
        return shape;
    }
};

TEST_P(Central, DeliversEveryPayloadAsOftenAsItsRouteSays) {
    ChannelWorld net{shape()};
    net.let_all_read();

    publish_from_all(net, 100);
    net.end();

    const std::uint64_t times = GetParam().route == Route::broadcast ? GetParam().receivers : 1;
    Values expected;
    for (std::uint64_t sender = 0; sender < GetParam().senders; ++sender) {
        for (std::uint64_t i = 0; i < 100; ++i) expected.insert(expected.end(), times, sender * 1000 + i);
    }
    EXPECT_EQ(all_values(net), expected);
}

TEST_P(Central, CountsTheSameAtBothHops) {
    ChannelWorld net{shape()};
    net.let_all_read();
    publish_from_all(net, 60);
    net.end();

    const std::uint64_t times = GetParam().route == Route::broadcast ? GetParam().receivers : 1;
    std::uint64_t delivered = 0;
    for (const Receiver& receiver : net.receivers) delivered += receiver.status.sent;
    const BrokerView view = net.broker->view();
    EXPECT_EQ(view.published, 60 * GetParam().senders * times);
    EXPECT_EQ(view.settled, view.published);
    EXPECT_EQ(delivered, view.published);
    EXPECT_EQ(view.dropped, 0U);
    EXPECT_EQ(view.queued, 0U);
    for (const Sender& sender : net.senders) {
        EXPECT_EQ(sender.status.published, 60U);
        EXPECT_EQ(sender.status.settled, 60U);
    }
}

TEST_P(Central, KeepsNoMemoryWhenAllIsOver) {
    ChannelWorld net{shape()};
    std::vector<std::size_t> before;
    for (Rank rank = 0; rank < net.shape.first_receiver + net.shape.receivers; ++rank)
        before.push_back(net.world[rank].arena.used_bytes());
    net.let_all_read();

    publish_from_all(net, 60);
    net.end();

    for (Rank rank = 0; rank < before.size(); ++rank) {
        net.world[rank].drafts.collect();
        EXPECT_EQ(net.world[rank].arena.used_bytes(), before[rank]) << "rank " << rank;
    }
}

TEST_P(Central, KeepsTheOrderOfEachSenderAtEachReceiver) {
    ChannelWorld net{shape()};
    net.let_all_read();

    publish_from_all(net, 100);
    net.end();

    for (const Receiver& receiver : net.receivers) {
        std::map<std::uint64_t, std::uint64_t> last;
        for (const std::uint64_t value : receiver.values) {
            const auto before = last.find(value / 1000);
            if (before != last.end()) {
                EXPECT_LT(before->second, value);
            }
            last[value / 1000] = value;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Central,
                         ::testing::Values(Case{Route::balance, PassBy::reference, 1, 1, 64},
                                           Case{Route::balance, PassBy::reference, 3, 2, 1},
                                           Case{Route::balance, PassBy::value, 2, 3, 4},
                                           Case{Route::balance, PassBy::value, 4, 1, 1},
                                           Case{Route::round_robin, PassBy::reference, 2, 3, 2},
                                           Case{Route::hash, PassBy::reference, 2, 3, 1},
                                           Case{Route::hash, PassBy::value, 2, 2, 64},
                                           Case{Route::broadcast, PassBy::reference, 2, 3, 1},
                                           Case{Route::broadcast, PassBy::value, 2, 2, 64}),
                         [](const auto& one) { return ::testing::PrintToString(one.param); });

TEST(Broker, DealsInTurnOverAllProducers) {
    auto shape = central_shape(1, 3);
    shape.route = Route::round_robin;
    ChannelWorld net{shape};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 9; ++i) net.senders[0].publish(i);
    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 3, 6));
    EXPECT_THAT(net.receivers[1].values, ElementsAre(1, 4, 7));
    EXPECT_THAT(net.receivers[2].values, ElementsAre(2, 5, 8));
}

TEST(Broker, SendsOneKeyToOneReceiverFromWhereverItComes) {
    auto shape = central_shape(2, 4);
    shape.route = Route::hash;
    shape.key = "key";
    ChannelWorld net{shape};
    net.let_all_read();

    publish_from_all(net, 200);
    net.end();

    std::map<std::uint64_t, std::size_t> receiver_of_key;
    for (std::size_t receiver = 0; receiver < 4; ++receiver) {
        for (const std::uint64_t value : net.receivers[receiver].values) {
            EXPECT_EQ(receiver_of_key.try_emplace(value % 1000 % 10, receiver).first->second, receiver);
        }
    }
    EXPECT_EQ(receiver_of_key.size(), 10U);
}

TEST(Broker, LeavesAMissingKeyToTheProducer) {
    auto shape = central_shape(1, 2);
    shape.route = Route::hash;
    shape.key = "key";
    ChannelWorld net{shape};
    const std::size_t before = net.world[1].arena.used_bytes();

    const Error error = error_of([&] { net.senders[0].publish(1, 1000); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("'key'"));
    EXPECT_EQ(net.world[1].arena.used_bytes(), before);
}

TEST(Broker, GivesABusyConsumerOnePayloadWhileAnotherIsFree) {
    ChannelWorld net{central_shape(2, 2)};
    for (Receiver& receiver : net.receivers) receiver.in.flush_returns();  // both say that they are free
    net.let_read(1);

    for (std::uint64_t i = 0; i < 100; ++i) net.senders[i % 2].publish(i);
    net.world.run_until([&] { return net.receivers[0].status.sent + net.receivers[1].status.sent == 100; });

    EXPECT_EQ(net.receivers[0].status.sent, 1U) << "what waits there waits though the other one is free";
    net.end();
}

TEST(Broker, GivesConsumersThatAreFastSeveralPayloadsInARow) {
    ChannelWorld net{central_shape(1, 4)};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 2000; ++i) net.senders[0].publish(i);
    net.end();

    std::size_t runs = 0;
    for (const Receiver& receiver : net.receivers) {
        for (std::size_t i = 0; i < receiver.values.size(); ++i) {
            runs += i == 0 || receiver.values[i] != receiver.values[i - 1] + 1 ? 1 : 0;
        }
    }
    EXPECT_LT(runs, 1000U) << "a receiver is woken for each payload";
    EXPECT_EQ(all_values(net).size(), 2000U);
}

TEST(Broker, HoldsBackItsProducersWhenNobodyReads) {
    auto shape = central_shape(2, 2);
    shape.capacity = 4;
    ChannelWorld net{shape};
    const auto credits = [&] { return net.senders[0].status.credits + net.senders[1].status.credits; };
    ASSERT_EQ(credits(), 8U) << "as many as the consumers have room for";
    std::uint64_t value = 0;

    while (credits() != 0) {
        for (Sender& sender : net.senders) {
            if (sender.status.credits != 0) sender.publish(value++);
        }
        for (int i = 0; i < 5; ++i) net.world.turn();
    }

    EXPECT_LE(net.broker->view().queued, 8U);
    EXPECT_LE(value, 8U + 2U) << "no more than it holds, and one on its way to each consumer";
    net.end();
    EXPECT_EQ(all_values(net).size(), value);
}

TEST(Broker, NeverWaitsForAConsumerThatDoesNotRead) {
    auto shape = central_shape(1, 1);
    shape.route = Route::round_robin;  // all credits are there from the start
    ChannelWorld net{shape};
    const auto publish_some = [&](std::uint64_t first) {
        for (std::uint64_t i = first; i < first + 5; ++i) {
            RawDraft draft{net.senders[0].make(i)};
            draft.set("large", std::string_view{std::string(40'000, 'x')});
            net.senders[0].out.publish(draft.release());
        }
    };

    // Only the coordinator gets its turn.
    publish_some(0);
    net.world[0].reactor.poll();
    publish_some(5);
    net.world[0].reactor.poll();

    EXPECT_EQ(net.receivers[0].status.sent, 0U);
    EXPECT_GT(net.broker->view().queued, 0U) << "the ring to the consumer took everything: the test tests nothing";
    net.end();
    EXPECT_EQ(all_values(net).size(), 10U);
}

TEST(Broker, ByReferenceTouchesNoBlob) {
    ChannelWorld net{central_shape(1, 1)};
    const std::size_t before = net.world[0].arena.used_bytes();
    PayloadBody* body = net.senders[0].make(7, 1'000'000);
    auto* mine = const_cast<std::byte*>(body->data);
    net.receivers[0].in.flush_returns();

    net.senders[0].out.publish(body);
    net.world.run_until([&] { return net.receivers[0].status.queued == 1; });
    const Payload payload = net.receivers[0].take();

    EXPECT_EQ(net.world[0].arena.used_bytes(), before);
    EXPECT_EQ(net.broker->view().touched_bytes, 0U);
    EXPECT_EQ(net.broker->view().bytes, 1'000'000U);
    mine[999'999] = std::byte{0x33};
    EXPECT_EQ(payload.bytes()[999'999], std::byte{0x33}) << "it is not the owner's memory";
}

TEST(Broker, SettlesTowardTheOwnerWhenTheConsumerHas) {
    ChannelWorld net{central_shape(1, 1)};
    net.receivers[0].in.flush_returns();
    net.senders[0].publish(7, 100'000);
    net.world.run_until([&] { return net.receivers[0].status.queued == 1; });

    Payload kept = net.receivers[0].take();
    net.receivers[0].in.flush_returns();
    for (int i = 0; i < 5; ++i) net.world.turn();
    EXPECT_EQ(net.senders[0].status.settled, 0U);

    kept = Payload{};
    net.receivers[0].in.flush_returns();
    net.world.run_until([&] { return net.senders[0].status.settled == 1; });
}

TEST(Broker, ByValueFreesTheOwnerBeforeAnybodyReads) {
    ChannelWorld net{central_shape(1, 1, PassBy::value)};
    const std::size_t before = net.world[1].arena.used_bytes();
    PayloadBody* body = net.senders[0].make(7, 1'000'000);
    auto* mine = const_cast<std::byte*>(body->data);

    net.senders[0].out.publish(body);
    net.world.run_until([&] { return net.senders[0].status.settled == 1; });

    EXPECT_EQ(net.world[1].arena.used_bytes(), before);
    mine[999'999] = std::byte{0x33};
    net.let_all_read();
    net.world.run_until([&] { return !net.receivers[0].values.empty(); });
    EXPECT_THAT(net.receivers[0].values, ElementsAre(7));
    EXPECT_EQ(net.broker->view().touched_bytes, 1'000'000U);
    net.end();
}

TEST(Broker, ByValueCopiesNoMoreThanItsShareAndThenOneByOne) {
    ChannelWorld net{central_shape(1, 1, PassBy::value)};
    const std::size_t before = net.world[0].arena.used_bytes();
    constexpr std::size_t bytes = 3'000'000;  // two of them are the share, beside the rest

    for (std::uint64_t i = 0; i < 5; ++i) net.senders[0].publish(i, bytes);
    for (int i = 0; i < 10; ++i) net.world.turn();

    EXPECT_LE(net.world[0].arena.used_bytes() - before, ChannelWorld::copies_at_broker + (1U << 20U));
    EXPECT_EQ(net.senders[0].status.settled, 2U);
    net.end();
    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 1, 2, 3, 4));
}

TEST(Broker, ByValueCopiesABlobLargerThanItsShareAlone) {
    ChannelWorld net{central_shape(1, 1, PassBy::value)};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 3; ++i) net.senders[0].publish(i, ChannelWorld::copies_at_broker + 1000);
    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 1, 2));
}

/// A slow consumer behind a broker: what the policy lets through and what it drops.
class OverflowAtBroker : public ::testing::TestWithParam<Overflow> {};

TEST_P(OverflowAtBroker, DeliversOrDropsEverything) {
    auto shape = central_shape(2, 1);
    shape.capacity = 4;
    shape.overflow = GetParam();
    ChannelWorld net{shape};
    net.receivers[0].in.flush_returns();

    for (std::uint64_t i = 0; i < 100; ++i) {
        net.senders[i % 2].publish(i);
        net.world.turn();
    }
    const std::uint64_t queued = net.broker->view().queued;
    net.end();

    EXPECT_EQ(queued, 0U) << "a policy that drops leaves nothing to wait";
    std::uint64_t dropped = net.broker->view().dropped;
    for (const Sender& sender : net.senders) dropped += sender.status.dropped;
    EXPECT_GT(dropped, 80U);
    EXPECT_EQ(dropped + net.receivers[0].values.size(), 100U);
    const Values& values = net.receivers[0].values;
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end()));
    if (GetParam() == Overflow::drop_newest) {
        EXPECT_LT(values.back(), 20U);
    } else {
        EXPECT_EQ(values.back(), 99U);
    }
}

INSTANTIATE_TEST_SUITE_P(Policies, OverflowAtBroker,
                         ::testing::Values(Overflow::drop_oldest, Overflow::drop_newest, Overflow::latest),
                         [](const auto& policy) { return std::string{name_of(policy.param)}; });

TEST(Broker, FailsWhenTheQueueIsFullAndThatIsAnError) {
    auto shape = central_shape(1, 1);
    shape.capacity = 2;
    shape.overflow = Overflow::error;
    ChannelWorld net{shape};

    const Error error = error_of([&] {
        for (std::uint64_t i = 0; i < 10; ++i) {
            net.senders[0].publish(i);
            net.world.turn();
        }
    });

    EXPECT_EQ(error.code(), Errc::exhausted);
    EXPECT_THAT(error.what(), HasSubstr("channel 'edge' is full"));
}

TEST(Broker, TakesTicketsFromProducersAlone) {
    ChannelWorld net{central_shape(1, 2)};
    Sender cheat{net.world[2], sending_leg(net.shape)};
    cheat.publish(1);

    const Error error = error_of([&] { net.world[0].reactor.poll(); });

    EXPECT_THAT(error.what(), HasSubstr("which it does not feed"));
}

TEST(Broker, TakesReturnsFromConsumersAlone) {
    ChannelWorld net{central_shape(1, 1)};
    net.world[1].reactor.send(net.world[1].transport(), 0,
                              Returns{.head = {0, 0, FrameKind::returns, 0},
                                      .settled_first = 0,
                                      .settled_count = 0,
                                      .credit_payloads = 1,
                                      .credit_bytes = 0});

    const Error error = error_of([&] { net.world[0].reactor.poll(); });

    EXPECT_THAT(error.what(), HasSubstr("which it does not receive"));
}

// --- by value, without a broker ---

[[nodiscard]] ChannelShape value_shape(std::uint32_t senders, std::uint32_t receivers) {
    ChannelShape shape = channel_shape(senders, receivers);
    shape.by = PassBy::value;
    return shape;
}

TEST(ByValue, FreesTheOwnerOnArrivalAndKeepsItsCredit) {
    auto shape = value_shape(1, 1);
    shape.capacity = 2;
    ChannelWorld net{shape};
    const std::size_t before = net.world[0].arena.used_bytes();
    net.senders[0].publish(1, 100'000);
    net.senders[0].publish(2, 100'000);

    net.world.turn();
    net.receivers[0].in.flush_returns();
    net.world.run_until([&] { return net.senders[0].status.settled == 2; });

    EXPECT_EQ(net.world[0].arena.used_bytes(), before);
    EXPECT_EQ(net.senders[0].status.credits, 0U) << "both payloads still wait";
    net.end();
    EXPECT_THAT(net.receivers[0].values, ElementsAre(1, 2));
}

TEST(ByValue, SettlesBeforeTheOperatorIsCalled) {
    ChannelWorld net{value_shape(1, 1)};
    net.senders[0].publish(1, 100'000);
    net.world[1].reactor.poll();

    const Payload payload = net.receivers[0].take();  // its call may take long
    net.world[0].reactor.poll();

    EXPECT_EQ(net.senders[0].status.settled, 1U);
}

TEST(ByValue, HasBytesOfItsOwn) {
    ChannelWorld net{value_shape(1, 1)};
    PayloadBody* body = net.senders[0].make(7, 100'000);
    auto* theirs = const_cast<std::byte*>(body->data);
    net.senders[0].out.publish(body);
    net.world[1].reactor.poll();
    const Payload payload = net.receivers[0].take();

    theirs[99'999] = std::byte{0x33};

    EXPECT_EQ(payload.bytes()[99'999], std::byte{7});
}

TEST(ByValue, CopiesWhatHadNoRoomWhenTheOperatorAsks) {
    ChannelWorld net{value_shape(1, 1)};
    net.world[1].reactor.set_housekeeping([&] { net.world[1].drafts.collect(); });
    constexpr std::size_t bytes = 3'000'000;  // two are more than half the arena, which is kept for what is made
    for (std::uint64_t i = 0; i < 4; ++i) net.senders[0].publish(i, bytes);
    net.world.turn();
    const std::size_t early = net.world[1].arena.used_bytes();
    EXPECT_LE(early, net.world[1].arena.limit_bytes() / 2);

    net.end();

    EXPECT_THAT(net.receivers[0].values, ElementsAre(0, 1, 2, 3));
}

TEST(ByValue, SettlesWhatItNeverCopiedWhenItIsDropped) {
    ChannelWorld net{value_shape(1, 1)};
    constexpr std::size_t bytes = 9'000'000;  // never copied unasked: more than half the arena
    net.senders[0].publish(1, bytes);
    net.world.turn();

    { const Payload unread = net.receivers[0].take(); }
    net.receivers[0].in.flush_returns();
    net.world.run_until([&] { return net.senders[0].status.settled == 1; });
    net.end();
}

TEST(ByValue, WorksWithLeases) {
    auto shape = leased_shape(2, 2);
    shape.by = PassBy::value;
    ChannelWorld net{shape};
    net.let_all_read();

    publish_from_all(net, 100);
    net.end();

    EXPECT_EQ(all_values(net).size(), 200U);
    EXPECT_EQ(net.senders[0].status.settled, 100U);
}

}  // namespace
}  // namespace penstock::test
