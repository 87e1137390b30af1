// What a peer may send that an honest one would not, and what may be lost on the way: the run ends with an error that
// names the peer, and nothing is read or written out of bounds.

#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/in_process_world.hpp"
#include "transports/faulty.hpp"
#include "unit/error_of.hpp"

namespace penstock::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <class Frame>
[[nodiscard]] std::vector<std::byte> bytes_of(Frame frame) {
    frame.head.frame_bytes = sizeof frame;
    std::vector<std::byte> bytes(sizeof frame);
    std::memcpy(bytes.data(), &frame, sizeof frame);
    return bytes;
}

void send_raw(Endpoint& from, Rank to, std::span<const std::byte> bytes) {
    const auto room = from.transport().reserve(to, bytes.size());
    ASSERT_EQ(room.size(), bytes.size());
    std::copy(bytes.begin(), bytes.end(), room.begin());
    from.transport().commit(to);
}

/// The sender is honest, rank 1 is not.
class HostileReceiverTest : public ::testing::Test {
protected:
    HostileReceiverTest() {
        shape.capacity = 4;
        sender.emplace(world[0], shape);
        world[1].reactor.connect(0, "auto");
        for (std::uint64_t i = 0; i < 4; ++i) sender->publish(i, 1000);
    }

    /// What the sender says to that frame.
    [[nodiscard]] std::string answer_to(std::span<const std::byte> bytes) {
        send_raw(world[1], 0, bytes);
        world[1].reactor.flush();
        const Error error = error_of([&] { world[0].reactor.poll(); });
        EXPECT_EQ(error.code(), Errc::disconnected);
        return error.what();
    }
    [[nodiscard]] std::string answer_to(const Returns& returns) { return answer_to(bytes_of(returns)); }
    [[nodiscard]] std::string answer_to(const End& end) { return answer_to(bytes_of(end)); }
    void accept(const Returns& returns) {
        send_raw(world[1], 0, bytes_of(returns));
        world[1].reactor.flush();
        world[0].reactor.poll();
    }

    [[nodiscard]] static Returns settled(std::uint64_t first, std::uint32_t count) {
        return {.head = {0, 0, FrameKind::returns, 0},
                .settled_first = first,
                .settled_count = count,
                .credit_payloads = 0,
                .credit_bytes = 0};
    }
    [[nodiscard]] static Returns credits(std::uint32_t payloads) {
        Returns returns = settled(0, 0);
        returns.credit_payloads = payloads;
        returns.credit_bytes = std::uint64_t{payloads} * 1000;
        return returns;
    }
    [[nodiscard]] static End acknowledged(std::uint64_t count) {
        return {.head = {0, 0, FrameKind::end_ack, 0}, .count = count};
    }

    World world{{.ranks = 3}};
    ChannelShape shape = channel_shape(1, 1);
    std::optional<Sender> sender;
};

TEST_F(HostileReceiverTest, CannotGiveCreditsItWasNotSentPayloadsFor) {
    accept(credits(4));
    EXPECT_THAT(answer_to(credits(1)), AllOf(HasSubstr("rank 1"), HasSubstr("credits")));
}

TEST_F(HostileReceiverTest, CannotGiveFourBillionCredits) {
    EXPECT_THAT(answer_to(credits(0xFFFFFFFFU)), HasSubstr("credits"));
}

TEST_F(HostileReceiverTest, CannotSettleWhatItWasNotSent) {
    EXPECT_THAT(answer_to(settled(4, 1)), AllOf(HasSubstr("rank 1"), HasSubstr("settlement")));
}

TEST_F(HostileReceiverTest, CannotSettleBeyondWhatItWasSent) {
    EXPECT_THAT(answer_to(settled(3, 2)), HasSubstr("settlement"));
}

TEST_F(HostileReceiverTest, CannotSettleARangeThatOverflows) {
    EXPECT_THAT(answer_to(settled(0xFFFFFFFFFFFFFFFFU, 1)), HasSubstr("settlement"));
}

TEST_F(HostileReceiverTest, CannotSettleAHugeRange) {
    EXPECT_THAT(answer_to(settled(0, 0xFFFFFFFFU)), HasSubstr("settlement"));
}

TEST_F(HostileReceiverTest, CannotSettleTheOldestTwice) {
    accept(settled(0, 1));
    EXPECT_THAT(answer_to(settled(0, 1)), AllOf(HasSubstr("rank 1"), HasSubstr("settlement")));
}

TEST_F(HostileReceiverTest, CannotSettleOneInTheMiddleTwice) {
    accept(settled(2, 1));
    EXPECT_THAT(answer_to(settled(1, 2)), AllOf(HasSubstr("rank 1"), HasSubstr("settlement twice")));
}

TEST_F(HostileReceiverTest, CannotAcknowledgeAnEndThatWasNotSent) {
    accept(settled(0, 4));
    EXPECT_THAT(answer_to(acknowledged(4)), AllOf(HasSubstr("rank 1"), HasSubstr("acknowledgement")));
}

TEST_F(HostileReceiverTest, CannotAcknowledgeBeforeItHasSettled) {
    sender->out.end();
    EXPECT_THAT(answer_to(acknowledged(4)), AllOf(HasSubstr("rank 1"), HasSubstr("acknowledgement")));
}

TEST_F(HostileReceiverTest, CannotAcknowledgeAnotherCount) {
    sender->out.end();
    accept(settled(0, 4));
    EXPECT_THAT(answer_to(acknowledged(3)), AllOf(HasSubstr("rank 1"), HasSubstr("acknowledgement")));
}

TEST_F(HostileReceiverTest, CannotSendHalfAFrame) {
    const auto whole = bytes_of(settled(0, 1));
    EXPECT_THAT(answer_to(std::span{whole}.first(16)), AllOf(HasSubstr("rank 1"), HasSubstr("impossible length")));
}

TEST_F(HostileReceiverTest, CannotSendAShortFrameOfTheRightLength) {
    auto frame = bytes_of(settled(0, 1));
    frame.resize(sizeof(FrameHead));
    const auto length = static_cast<std::uint32_t>(frame.size());
    std::memcpy(frame.data(), &length, sizeof length);
    EXPECT_THAT(answer_to(frame), AllOf(HasSubstr("rank 1"), HasSubstr("impossible length")));
}

TEST_F(HostileReceiverTest, CannotSendAFrameOfAnUnknownKind) {
    for (const std::uint8_t kind : {std::uint8_t{0}, std::uint8_t{6}, std::uint8_t{255}}) {
        auto frame = bytes_of(settled(0, 1));
        frame[offsetof(FrameHead, kind)] = std::byte{kind};
        EXPECT_THAT(answer_to(frame), AllOf(HasSubstr("rank 1"), HasSubstr("not expected")));
    }
}

TEST_F(HostileReceiverTest, IsAccusedOfEachBrokenFrameOnce) {
    EXPECT_THAT(answer_to(settled(4, 1)), HasSubstr("settlement"));
    EXPECT_THAT(answer_to(credits(5)), HasSubstr("credits"));

    EXPECT_NO_THROW(world[0].reactor.poll());
    EXPECT_TRUE(world[1].transport().drained());
    accept(settled(0, 4));
    EXPECT_EQ(sender->status.settled, 4U);
}

TEST_F(HostileReceiverTest, CannotSpeakForAChannelThatIsNotThere) {
    Returns returns = settled(0, 1);
    for (const int channel : {1, 65535}) {
        returns.head.channel = static_cast<std::uint16_t>(channel);
        EXPECT_THAT(answer_to(returns), AllOf(HasSubstr("rank 1"), HasSubstr("not expected")));
    }
}

TEST_F(HostileReceiverTest, CannotSpeakForAnotherReceiver) {
    world[0].reactor.connect(2, "auto");
    world[2].reactor.connect(0, "auto");
    send_raw(world[2], 0, bytes_of(settled(0, 1)));

    const Error error = error_of([&] { world[0].reactor.poll(); });

    EXPECT_THAT(error.what(), AllOf(HasSubstr("rank 2"), HasSubstr("'edge'")));
}

/// The receiver is honest, rank 0 is not.
class HostileSenderTest : public ::testing::Test {
protected:
    HostileSenderTest() {
        shape.capacity = 4;
        receiver.emplace(world[1], shape);
        world[0].reactor.connect(1, "auto");
    }

    /// The ticket of a text of 1000 bytes in the sender's arena.
    [[nodiscard]] std::vector<std::byte> ticket(std::uint64_t sequence) {
        PayloadBody body;
        body.dtype = DType::text;
        body.size_bytes = 1000;
        body.shape = Shape{1000};
        body.owner = 0;
        std::vector<std::byte> frame(ticket_frame_bytes(body, sequence, TicketForm::of(body, false)));
        encode_ticket(body, 0, sequence, TicketForm::of(body, false), frame);
        return frame;
    }
    void change(std::vector<std::byte>& frame, std::size_t at, std::uint64_t value, std::size_t bytes) {
        std::memcpy(frame.data() + at, &value, bytes);
    }

    void accept(const std::vector<std::byte>& frame) {
        send_raw(world[0], 1, frame);
        world[0].reactor.flush();
        world[1].reactor.poll();
    }
    [[nodiscard]] std::string answer_to(const std::vector<std::byte>& frame) {
        send_raw(world[0], 1, frame);
        world[0].reactor.flush();
        const Error error = error_of([&] { world[1].reactor.poll(); });
        EXPECT_EQ(error.code(), Errc::disconnected) << error.what();
        return error.what();
    }
    [[nodiscard]] static End end(std::uint64_t count) { return {.head = {0, 0, FrameKind::end, 0}, .count = count}; }

    World world{{.ranks = 2}};
    ChannelShape shape = channel_shape(1, 1);
    std::optional<Receiver> receiver;
};

TEST_F(HostileSenderTest, CannotSendMoreThanItHasCreditsFor) {
    for (std::uint64_t i = 0; i < 4; ++i) accept(ticket(i));

    EXPECT_THAT(answer_to(ticket(4)), AllOf(HasSubstr("rank 0"), HasSubstr("credit")));
    EXPECT_EQ(receiver->status.queued, 4U);
}

TEST_F(HostileSenderTest, MaySendAgainForEveryCreditItGotBack) {
    for (std::uint64_t i = 0; i < 40; ++i) {
        accept(ticket(i));
        receiver->read();
    }
    EXPECT_EQ(receiver->status.settled, 40U);
}

TEST_F(HostileSenderTest, CannotLeaveOutASequenceNumber) {
    accept(ticket(0));
    EXPECT_THAT(answer_to(ticket(2)), AllOf(HasSubstr("'edge'"), HasSubstr("rank 0"), HasSubstr("payload 1")));
}

TEST_F(HostileSenderTest, CannotSendAfterItsEnd) {
    accept(ticket(0));
    accept(bytes_of(end(1)));
    EXPECT_THAT(answer_to(ticket(1)), AllOf(HasSubstr("rank 0"), HasSubstr("after its END")));
}

TEST_F(HostileSenderTest, CannotEndTwice) {
    accept(bytes_of(end(0)));
    EXPECT_THAT(answer_to(bytes_of(end(0))), AllOf(HasSubstr("rank 0"), HasSubstr("second end")));
}

TEST_F(HostileSenderTest, CannotClaimToHaveSentMoreThanArrived) {
    accept(ticket(0));
    EXPECT_THAT(answer_to(bytes_of(end(2))),
                AllOf(HasSubstr("'edge'"), HasSubstr("rank 0"), HasSubstr("sent 2"), HasSubstr("1 arrived")));
}

TEST_F(HostileSenderTest, CannotNameAnOwnerThatIsNotThere) {
    auto frame = ticket(0);
    change(frame, offsetof(Ticket, owner), 2, 4);
    EXPECT_THAT(answer_to(frame), AllOf(HasSubstr("rank 0"), HasSubstr("does not exist")));
}

TEST_F(HostileSenderTest, CannotPointOutsideTheArena) {
    auto frame = ticket(0);
    change(frame, offsetof(Ticket, blob_offset), std::uint64_t{16} << 20U, 8);
    accept(frame);
    auto overflowing = ticket(1);
    change(overflowing, offsetof(Ticket, blob_offset), 0xFFFFFFFFFFFFFFF0U, 8);
    accept(overflowing);

    for (int i = 0; i < 2; ++i) {
        const Payload payload = receiver->take();
        const Error error = error_of([&] { static_cast<void>(payload.bytes()); });
        EXPECT_THAT(error.what(), AllOf(HasSubstr("rank 0"), HasSubstr("outside its arena")));
    }
}

TEST_F(HostileSenderTest, CannotSendBlobsThatCannotBe) {
    auto frame = ticket(0);
    change(frame, offsetof(Ticket, blob_bytes), 0xFFFFFFFFFFFFFFFFU, 8);

    EXPECT_THAT(answer_to(frame), HasSubstr("rank 0"));
    EXPECT_EQ(receiver->status.queued, 0U);
}

TEST_F(HostileSenderTest, CannotSendATicketThatIsTooShort) {
    auto frame = ticket(0);
    frame.resize(sizeof(Ticket) - 8);
    change(frame, 0, frame.size(), 4);
    EXPECT_THAT(answer_to(frame), AllOf(HasSubstr("rank 0"), HasSubstr("impossible length")));
}

/// A transport that loses, doubles or swaps: what arrives is not what was sent, and the receiver notices.
class FaultyChannelTest : public ::testing::Test {
protected:
    [[nodiscard]] static std::string error_with(const Faults& faults) {
        ChannelWorld net{channel_shape(1, 1), [&](Rank rank, std::unique_ptr<Transport> transport) {
                             if (rank == 0) return transport;
                             return std::unique_ptr<Transport>{std::make_unique<Faulty>(std::move(transport), faults)};
                         }};
        net.let_read(0);
        const Error error = error_of([&] {
            for (std::uint64_t i = 0; i < 1000; ++i) net.senders[0].publish(i, 8 + i % 1000);
            net.end();
        });
        EXPECT_EQ(error.code(), Errc::disconnected) << error.what();
        return error.what();
    }
};

TEST_F(FaultyChannelTest, NoticesALostPayload) {
    EXPECT_THAT(error_with({.drop = 0.05, .seed = 1}),
                AllOf(HasSubstr("'edge'"), HasSubstr("rank 0"), HasSubstr("missing")));
}

TEST_F(FaultyChannelTest, NoticesADoubledPayload) {
    EXPECT_THAT(error_with({.duplicate = 0.05, .seed = 2}), AllOf(HasSubstr("'edge'"), HasSubstr("rank 0")));
}

TEST_F(FaultyChannelTest, NoticesSwappedPayloads) {
    EXPECT_THAT(error_with({.swap = 0.05, .seed = 3}), AllOf(HasSubstr("'edge'"), HasSubstr("rank 0")));
}

TEST_F(FaultyChannelTest, NoticesATruncatedPayload) {
    EXPECT_THAT(error_with({.truncate = 0.05, .seed = 4}), AllOf(HasSubstr("rank 0"), HasSubstr("impossible length")));
}

TEST_F(FaultyChannelTest, IsNotTroubledByDelays) {
    ChannelWorld net{channel_shape(2, 2), [](Rank rank, std::unique_ptr<Transport> transport) {
                         return std::unique_ptr<Transport>{std::make_unique<Faulty>(
                             std::move(transport), Faults{.delay = std::chrono::microseconds{50}, .seed = rank})};
                     }};
    net.let_all_read();

    for (std::uint64_t i = 0; i < 200; ++i) {
        for (Sender& sender : net.senders) sender.publish(i, 8 + i * 10);
    }
    net.end();

    EXPECT_EQ(net.receivers[0].values.size() + net.receivers[1].values.size(), 400U);
}

}  // namespace
}  // namespace penstock::test
