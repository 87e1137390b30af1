// Channels whose credits are leased: what consumers grant goes to the producers that have something to send.

#include <algorithm>
#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/in_process_world.hpp"
#include "unit/error_of.hpp"

namespace penstock::test {
namespace {

using ::testing::HasSubstr;

[[nodiscard]] std::vector<std::uint64_t> all_values(const ChannelWorld& net) {
    std::vector<std::uint64_t> all;
    for (const Receiver& receiver : net.receivers)
        all.insert(all.end(), receiver.values.begin(), receiver.values.end());
    std::sort(all.begin(), all.end());
    return all;
}

/// Sender i publishes i * 1000 and up, in turns.
void publish_from_all(ChannelWorld& net, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        for (std::size_t sender = 0; sender < net.senders.size(); ++sender)
            net.senders[sender].publish(sender * 1000 + i);
    }
}

[[nodiscard]] std::vector<std::uint64_t> published_by_all(std::size_t senders, std::uint64_t count) {
    std::vector<std::uint64_t> values;
    for (std::size_t sender = 0; sender < senders; ++sender) {
        for (std::uint64_t i = 0; i < count; ++i) values.push_back(sender * 1000 + i);
    }
    return values;
}

struct Case {
    std::uint32_t senders;
    std::uint32_t receivers;
    std::uint32_t capacity;
};
void PrintTo(const Case& one, std::ostream* out) {
    *out << one.senders << "to" << one.receivers << "by" << one.capacity;
}

class Leased : public ::testing::TestWithParam<Case> {
protected:
    [[nodiscard]] static ChannelShape shape() {
        ChannelShape shape = leased_shape(GetParam().senders, GetParam().receivers);
        shape.capacity = GetParam().capacity;
        return shape;
    }
};

TEST_P(Leased, DeliversEveryPayloadOnce) {
    ChannelWorld net{shape()};
    net.let_all_read();

    publish_from_all(net, 200);
    net.end();

    EXPECT_EQ(all_values(net), published_by_all(GetParam().senders, 200));
}

TEST_P(Leased, LeavesNoCreditWithProducersThatHaveEnded) {
    ChannelWorld net{shape()};
    net.let_all_read();
    publish_from_all(net, 20);
    net.end();
    for (int i = 0; i < 10; ++i) net.world.turn();

    if (!net.shape.asks_coordinator()) return;  // the only producer keeps what it has
    for (const Sender& sender : net.senders) EXPECT_EQ(sender.status.credits, 0U);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Leased,
                         ::testing::Values(Case{1, 1, 64}, Case{1, 3, 1}, Case{2, 1, 1}, Case{2, 3, 64}, Case{5, 2, 1},
                                           Case{4, 4, 2}),
                         [](const auto& one) { return ::testing::PrintToString(one.param); });

TEST(Leases, LetNoMoreOnTheirWayThanTheCapacityHowManyProducersThereMayBe) {
    auto shape = leased_shape(4, 1);
    shape.capacity = 2;
    shape.overflow = Overflow::drop_oldest;
    ChannelWorld net{shape};
    net.receivers[0].in.flush_returns();

    publish_from_all(net, 10);
    for (int i = 0; i < 20; ++i) net.world.turn();

    std::uint64_t sent = 0;
    for (const Sender& sender : net.senders) sent += sender.status.sent;
    EXPECT_EQ(sent, 1U) << "before the first payload is through, one is on its way";
    net.end();
}

TEST(Leases, GiveASlowConsumerOnePayloadAtATime) {
    GrantWindow window{64};
    EXPECT_EQ(window.size(), 1U) << "nobody knows yet";
    window.served(10);
    EXPECT_EQ(window.size(), 64U);
    window.served(1000 * short_while);
    EXPECT_EQ(window.size(), 64U) << "one that took long, as when another process had the core, says nothing";
    for (int i = 0; i < 6; ++i) window.served(1000 * short_while);
    EXPECT_EQ(window.size(), 1U) << "a few do";
    for (int i = 0; i < 100; ++i) window.served(10 * short_while);
    EXPECT_GT(window.size(), 1U);
    EXPECT_LT(window.size(), 8U);
}

TEST(Leases, AreUsedInRunsWhereReceiversAreQuick) {
    auto shape = leased_shape(2, 2);
    shape.capacity = 32;
    ChannelWorld net{shape};
    net.let_all_read();
    for (std::uint64_t i = 0; i < 200; ++i) net.senders[0].publish(i);
    net.end();

    std::size_t runs = 1;
    std::vector<int> receiver_of(200);
    for (const std::uint64_t value : net.receivers[1].values) receiver_of.at(value) = 1;
    for (std::size_t i = 1; i < receiver_of.size(); ++i) runs += receiver_of[i] == receiver_of[i - 1] ? 0U : 1U;
    EXPECT_GT(net.receivers[0].values.size(), 0U);
    EXPECT_GT(net.receivers[1].values.size(), 0U);
    EXPECT_LT(runs, 100U) << "a receiver that is woken for one payload costs more than the payload";
}

TEST(Leases, AreRecalledFromAProducerThatDoesNotUseThem) {
    auto shape = leased_shape(2, 1);
    shape.capacity = 8;
    ChannelWorld net{shape};
    net.let_all_read();
    // The first producer learns to ask for many, and pauses.
    for (std::uint64_t i = 0; i < 100; ++i) net.senders[0].publish(i);
    for (int i = 0; i < 10; ++i) net.world.turn();
    ASSERT_GT(net.senders[0].status.credits, 0U) << "it holds leases";

    for (std::uint64_t i = 0; i < 20; ++i) net.senders[1].publish(1000 + i);

    EXPECT_EQ(net.senders[1].status.sent, 20U);
    net.end();
    EXPECT_EQ(all_values(net).size(), 120U);
}

class ParkedReceivers : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(ParkedReceivers, GetNothingUntilTheyAreUnparked) {
    const std::uint32_t senders = GetParam();
    auto shape = leased_shape(senders, 3);
    shape.parks_receivers = true;
    ChannelWorld net{shape};
    net.let_all_read();
    publish_from_all(net, 100);  // so that producers hold leases of all of them

    net.leases->park(1);
    for (int i = 0; i < 50; ++i) net.world.turn();
    const std::size_t before = net.receivers[1].values.size();
    EXPECT_GT(before, 0U);
    publish_from_all(net, 100);
    for (int i = 0; i < 50; ++i) net.world.turn();
    EXPECT_EQ(net.receivers[1].values.size(), before);

    net.leases->unpark(1);
    publish_from_all(net, 1000);  // more than what the producers hold leases for
    net.end();
    EXPECT_GT(net.receivers[1].values.size(), before);
    EXPECT_EQ(all_values(net).size(), 1200U * senders) << "nothing is lost on the way";
}

INSTANTIATE_TEST_SUITE_P(Senders, ParkedReceivers, ::testing::Values(1U, 2U));

TEST(Leases, OfParkedReceiversAloneArePayloadsThatStarve) {
    auto shape = leased_shape(1, 2);
    shape.parks_receivers = true;
    shape.capacity = 1;
    ChannelWorld net{shape};
    net.let_read(0);
    for (int i = 0; i < 10; ++i) net.world.turn();
    net.leases->park(1);
    EXPECT_FALSE(net.leases->lacks_credits());

    net.leases->park(0);
    for (int i = 0; i < 10; ++i) net.world.turn();
    EXPECT_FALSE(net.leases->lacks_credits()) << "nobody asks";
    net.leases->unpark(0);
    net.end();
}

TEST(Leases, AreRecalledFromProducersThatAskForMoreToo) {
    class Recalls final : public FrameReceiver {
    public:
        void on_frame(Rank, FrameKind kind, std::span<const std::byte>) override { count += kind == FrameKind::recall; }
        int count = 0;
    };
    ChannelWorld net{leased_shape(2, 1)};
    net.world.on_turn(0, [] {});
    std::array<Recalls, 2> producers;
    for (Rank rank : {1U, 2U}) {
        net.world[rank].reactor.set_output(0, &producers[rank - 1]);
        net.world[rank].reactor.send(net.world[rank].transport(), 0,
                                     LeaseFrame{.head = {0, 0, FrameKind::ask, 0}, .receiver = 0, .payloads = 1});
    }
    net.world.turn();

    static_cast<void>(net.leases->recall(SteadyClock::now() + std::chrono::seconds{1}));
    net.world.turn();

    for (const Recalls& producer : producers) EXPECT_EQ(producer.count, 1);
    for (Rank rank : {1U, 2U}) net.world[rank].reactor.set_output(0, nullptr);
}

TEST(Leases, AreUsedByWhoWaitedForThemAlthoughTheyAreRecalledAtOnce) {
    class Questions final : public FrameReceiver {
    public:
        void on_frame(Rank, FrameKind kind, std::span<const std::byte>) override {
            asked += kind == FrameKind::ask;
            given_back += kind == FrameKind::give_back;
        }
        int asked = 0;
        int given_back = 0;
    } questions;
    ChannelWorld net{leased_shape(2, 1)};
    net.leases.reset();
    net.world[0].reactor.set_housekeeping({});
    net.world[0].reactor.set_input(0, &questions);
    net.receivers[0].in.flush_returns();  // grants one
    int answered = 0;
    const auto tell = [&](FrameKind kind, std::uint8_t flags, std::uint32_t payloads) {
        net.world[0].reactor.send(net.world[0].transport(), 1,
                                  LeaseFrame{.head = {0, 0, kind, flags}, .receiver = 0, .payloads = payloads});
    };
    net.world.on_turn(0, [&] {
        if (answered == questions.asked) return;
        ++answered;
        tell(FrameKind::lease, LeaseFrame::last, 1);
        if (answered < 5) tell(FrameKind::recall, 0, 0);
    });

    net.senders[0].publish(1);

    EXPECT_EQ(answered, 1);
    EXPECT_EQ(questions.given_back, 0);
    EXPECT_EQ(net.senders[0].status.sent, 1U);
    net.world[0].reactor.set_input(0, nullptr);
}

TEST(Leases, LetTheStreamGoOnWithoutTheCoordinatorUntilTheyRunOut) {
    auto shape = leased_shape(2, 1);
    shape.capacity = 64;
    shape.overflow = Overflow::drop_oldest;  // publishing never waits
    ChannelWorld net{shape};
    net.let_all_read();
    for (std::uint64_t i = 0; i < 200; ++i) {
        net.senders[0].publish(i);
        net.world.turn();
    }
    net.world.on_turn(0, [] {});
    net.world[0].reactor.set_housekeeping({});
    net.leases.reset();
    const std::uint64_t held = net.senders[0].status.credits;
    ASSERT_GT(held, 0U);
    const std::uint64_t before = net.senders[0].status.sent;

    EXPECT_FALSE(net.senders[0].out.coordinator_is_silent(SteadyClock::now(), std::chrono::seconds{3}));
    for (std::uint64_t i = 0; i < held; ++i) net.senders[0].publish(1000 + i);

    EXPECT_EQ(net.senders[0].status.sent, before + held);
}

TEST(Leases, AreAskedForInBatchesByAFastProducer) {
    class Spy final : public FrameReceiver {
    public:
        void on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) override {
            questions += kind == FrameKind::ask;
            leases->on_frame(from, kind, frame);
        }
        ChannelLeases* leases = nullptr;
        int questions = 0;
    } spy;
    ChannelWorld net{leased_shape(2, 2)};
    spy.leases = net.leases.get();
    net.world[0].reactor.set_input(0, &spy);
    net.let_all_read();

    for (std::uint64_t i = 0; i < 2000; ++i) net.senders[0].publish(i);

    EXPECT_LT(spy.questions, 200) << "one for each payload costs more than the payload";
    net.end();
    EXPECT_EQ(all_values(net).size(), 2000U);
}

TEST(Leases, OfAnAnswerInPartsAreAskedForOnceMoreOnlyAfterTheLastPart) {
    class Questions final : public FrameReceiver {
    public:
        void on_frame(Rank, FrameKind kind, std::span<const std::byte>) override { count += kind == FrameKind::ask; }
        int count = 0;
    } questions;
    auto shape = leased_shape(2, 2);
    shape.overflow = Overflow::drop_oldest;
    ChannelWorld net{shape};
    net.leases.reset();
    net.world[0].reactor.set_housekeeping({});
    net.world[0].reactor.set_input(0, &questions);
    net.world.on_turn(0, [] {});
    const auto lease = [&](std::uint32_t receiver, std::uint8_t flags) {
        net.world[0].reactor.send(
            net.world[0].transport(), 1,
            LeaseFrame{.head = {0, 0, FrameKind::lease, flags}, .receiver = receiver, .payloads = 1});
        for (int i = 0; i < 3; ++i) net.world.turn();
    };
    for (Receiver& receiver : net.receivers) receiver.in.flush_returns();  // grants one each
    for (std::uint64_t i = 0; i < 10; ++i) net.senders[0].publish(i);
    net.world.turn();
    ASSERT_EQ(questions.count, 1);

    lease(0, 0);
    EXPECT_EQ(questions.count, 1) << "the second part is under way";
    lease(1, LeaseFrame::last);
    EXPECT_EQ(questions.count, 2);
    EXPECT_EQ(net.senders[0].status.sent, 2U);
    net.world[0].reactor.set_input(0, nullptr);
}

TEST(Leases, SayThatTheCoordinatorIsSilent) {
    auto shape = leased_shape(2, 1);
    shape.overflow = Overflow::latest;
    ChannelWorld net{shape};
    const auto limit = std::chrono::seconds{3};
    net.senders[0].publish(1);
    EXPECT_FALSE(net.senders[0].out.coordinator_is_silent(SteadyClock::now(), limit));
    const auto later = SteadyClock::now() + 2 * limit;
    EXPECT_TRUE(net.senders[0].out.coordinator_is_silent(later, limit));

    net.world.turn();
    static_cast<void>(net.leases->recall(later));
    net.world.turn();
    EXPECT_FALSE(net.senders[0].out.coordinator_is_silent(SteadyClock::now(), limit)) << "it was told: heard";
    net.end();
}

/// What the coordinator or a participant of a leased channel may be sent that an honest peer would not.
class HostileLeases : public ::testing::Test {
protected:
    [[nodiscard]] std::string answer(Rank from, Rank to, FrameKind kind, std::uint32_t receiver,
                                     std::uint32_t payloads) {
        net.world[from].reactor.connect(to, "auto");
        net.world[to].reactor.connect(from, "auto");
        net.world[from].reactor.send(net.world[from].transport(), to,
                                     LeaseFrame{.head = {0, 0, kind, 0}, .receiver = receiver, .payloads = payloads});
        net.world[from].reactor.flush();
        const Error error = error_of([&] { net.world[to].reactor.poll(); });
        EXPECT_EQ(error.code(), Errc::disconnected);
        return error.what();
    }

    // Rank 0 is the coordinator, 1 and 2 send, 3 and 4 receive.
    ChannelWorld net{leased_shape(2, 2)};
};

TEST_F(HostileLeases, ArePassedOnByTheCoordinatorAlone) {
    EXPECT_THAT(answer(3, 1, FrameKind::lease, 0, 1), HasSubstr("broken lease"));
}
TEST_F(HostileLeases, NameAReceiverThatExists) {
    EXPECT_THAT(answer(0, 1, FrameKind::lease, 2, 1), HasSubstr("broken lease"));
}
TEST_F(HostileLeases, StayWithinTheCapacity) {
    EXPECT_THAT(answer(0, 1, FrameKind::lease, 0, 65), HasSubstr("broken lease"));
}
TEST_F(HostileLeases, AreGrantedByConsumers) {
    EXPECT_THAT(answer(1, 0, FrameKind::grant, 0, 1), HasSubstr("not its to send"));
}
TEST_F(HostileLeases, AreGrantedWithinTheCapacity) {
    EXPECT_THAT(answer(3, 0, FrameKind::grant, 0, 0xFFFFFFFFU), HasSubstr("more credits"));
}
TEST_F(HostileLeases, AreAskedForByProducers) {
    EXPECT_THAT(answer(3, 0, FrameKind::ask, 0, 1), HasSubstr("not its to send"));
}
TEST_F(HostileLeases, AreAskedForOnceAtATime) {
    net.world[1].reactor.send(net.world[1].transport(), 0,
                              LeaseFrame{.head = {0, 0, FrameKind::ask, 0}, .receiver = 0, .payloads = 1});
    EXPECT_THAT(answer(1, 0, FrameKind::ask, 0, 1), HasSubstr("second question"));
}
TEST_F(HostileLeases, AreGivenBackForAReceiverThatExists) {
    EXPECT_THAT(answer(1, 0, FrameKind::give_back, 2, 1), HasSubstr("more credits"));
}
TEST_F(HostileLeases, AreNoConsumersBusiness) {
    EXPECT_THAT(answer(1, 3, FrameKind::grant, 0, 1), HasSubstr("not for a consumer"));
}
TEST_F(HostileLeases, AreNeededForEveryPayload) {
    auto direct = net.shape;
    direct.dispatch = Dispatch::direct;
    Sender cheat{net.world[1], direct};
    cheat.publish(1);
    net.world[1].reactor.flush();
    const Error error = error_of([&] { net.world[3].reactor.poll(); });
    EXPECT_THAT(error.what(), HasSubstr("without a credit"));
}

}  // namespace
}  // namespace penstock::test
