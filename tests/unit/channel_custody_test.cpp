#include <algorithm>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/in_process_world.hpp"

namespace penstock::test {
namespace {

[[nodiscard]] bool holds(const Payload& payload, std::uint64_t value) {
    const auto blob = payload.bytes();
    return value_of(payload) == value && std::all_of(blob.begin() + 8, blob.end(), [&](std::byte byte) {
               return byte == static_cast<std::byte>(value);
           });
}

TEST(Custody, OfAKeptPayloadKeepsItsMemory) {
    ChannelWorld net{channel_shape(1, 1)};
    Sender& sender = net.senders[0];
    sender.publish(0xAB, 100'000);
    net.world.turn();
    Payload kept = net.receivers[0].take();
    const std::size_t used = net.world[0].arena.used_bytes();
    net.let_read(0);

    // Through all of the arena, several times.
    for (std::uint64_t i = 0; i < 300; ++i) sender.publish(i % 7, 500'000);

    EXPECT_TRUE(holds(kept, 0xAB));
    net.world.run_until([&] { return sender.status.settled == 300; });
    EXPECT_EQ(net.world[0].arena.used_bytes(), used);
    EXPECT_EQ(sender.out.describe(), "rank 1: 64 credits, 301 unsettled") << "unsettled counts from the oldest on";

    kept = Payload{};
    net.receivers[0].in.flush_returns();
    net.world.turn();
    EXPECT_EQ(sender.status.settled, 301U);
    EXPECT_LT(net.world[0].arena.used_bytes(), used - 99'000);
}

TEST(Custody, IsHeldByEveryCopyOfAHandle) {
    ChannelWorld net{channel_shape(1, 1)};
    net.senders[0].publish(1, 1000);
    net.world.turn();
    Payload first = net.receivers[0].take();
    Payload second = first;

    first = Payload{};
    net.receivers[0].in.flush_returns();
    net.world.turn();
    EXPECT_EQ(net.senders[0].status.settled, 0U);
    EXPECT_EQ(net.receivers[0].status.settled, 0U);

    second = Payload{};
    net.receivers[0].in.flush_returns();
    net.world.turn();
    EXPECT_EQ(net.senders[0].status.settled, 1U);
}

TEST(Custody, EndsForAHandleDroppedByAnotherThread) {
    ChannelWorld net{channel_shape(1, 1)};
    for (std::uint64_t i = 0; i < 40; ++i) net.senders[0].publish(i, 1000);
    net.world.turn();
    {
        std::vector<std::jthread> threads;
        while (Payload payload = net.receivers[0].take()) {
            threads.emplace_back([held = std::move(payload)]() mutable { held = Payload{}; });
        }
        EXPECT_EQ(threads.size(), 40U);
    }

    EXPECT_EQ(net.receivers[0].status.settled, 0U) << "only the owner's thread may touch the channel";
    net.receivers[0].in.flush_returns();
    net.world.turn();

    EXPECT_EQ(net.receivers[0].status.settled, 40U);
    EXPECT_EQ(net.senders[0].status.settled, 40U);
}

TEST(Custody, EndsInAnyOrder) {
    for (unsigned seed = 1; seed <= 8; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        ChannelWorld net{channel_shape(1, 1)};
        std::mt19937 random{seed};
        const std::size_t before = net.world[0].arena.used_bytes();
        std::vector<Payload> held;
        std::uint64_t published = 0;
        std::uint64_t dropped = 0;

        while (dropped < 500) {
            if (published < 500 && net.senders[0].status.credits > 0 && random() % 2 == 0) {
                net.senders[0].publish(published++, 300);
            }
            net.world.turn();
            if (Payload payload = net.receivers[0].take()) held.push_back(std::move(payload));
            if (!held.empty() && random() % 2 == 0) {
                std::swap(held[random() % held.size()], held.back());
                held.pop_back();
                ++dropped;
            }
            if (random() % 4 == 0) net.receivers[0].in.flush_returns();
        }
        net.receivers[0].in.flush_returns();
        net.world.turn();

        EXPECT_EQ(net.senders[0].status.settled, 500U);
        EXPECT_EQ(net.world[0].arena.used_bytes(), before);
        net.end();
    }
}

TEST(Custody, OfADraftDroppedByAnotherThreadEndsWhenMemoryIsNeeded) {
    ChannelWorld net{channel_shape(1, 1)};
    constexpr std::size_t most_of_the_arena = std::size_t{12} << 20U;
    RawDraft draft{net.senders[0].make(1, most_of_the_arena)};
    std::jthread{[dropped = std::move(draft)]() mutable { static_cast<void>(RawDraft{std::move(dropped)}); }};

    const RawDraft next{net.senders[0].make(2, most_of_the_arena)};

    EXPECT_EQ(next.size_bytes(), most_of_the_arena);
}

/// Rank 0 to rank 1 over channel 0, rank 1 to rank 2 over channel 1.
class ChainTest : public ::testing::Test {
protected:
    [[nodiscard]] static ChannelShape hop(std::uint16_t number) {
        ChannelShape shape = channel_shape(1, 1);
        shape.number = number;
        shape.name = number == 0 ? "first" : "second";
        shape.first_sender = number;
        shape.first_receiver = number + 1U;
        return shape;
    }

    void settle_everywhere() {
        for (int i = 0; i < 3; ++i) {
            for (Receiver* receiver : {&relay_in, &sink}) receiver->in.flush_returns();
            world.turn();
        }
    }

    /// As an instance does it: the result holds on to its input.
    void emit_from(const Payload& input, std::uint64_t value, std::size_t bytes) {
        PayloadBody* body = relay_out.make(value, bytes);
        add_reference(input.body());
        body->parent = input.body();
        relay_out.out.publish(body);
    }
    /// As an operator does it that makes one payload of several.
    void emit_from_all(const std::vector<Payload>& inputs, std::uint64_t value, std::size_t bytes) {
        RawDraft draft{relay_out.make(value, bytes)};
        for (const Payload& input : inputs) draft.keep(input);
        relay_out.out.publish(draft.release());
    }
    void forward(const Payload& input) {
        add_reference(input.body());
        relay_out.out.publish(input.body());
    }

    World world{{.ranks = 3}};
    Sender source{world[0], hop(0)};
    Receiver relay_in{world[1], hop(0)};
    Sender relay_out{world[1], hop(1)};
    Receiver sink{world[2], hop(1)};
};

TEST_F(ChainTest, AForwardedPayloadIsInCustodyUntilItsLastReceiverHasSettledIt) {
    source.publish(0xCD, 100'000);
    world.turn();
    forward(relay_in.take());
    world.turn();
    Payload arrived = sink.take();
    settle_everywhere();

    EXPECT_EQ(source.status.settled, 0U);
    EXPECT_TRUE(holds(arrived, 0xCD));
    EXPECT_EQ(arrived.id(), (PayloadId{.instance = 0, .channel = 0, .sequence = 0xCD}));
    EXPECT_EQ(arrived.body()->owner, 0U) << "the relay copied the blob";

    arrived = Payload{};
    settle_everywhere();
    EXPECT_EQ(relay_out.status.settled, 1U);
    EXPECT_EQ(source.status.settled, 1U);
}

TEST_F(ChainTest, ASmallForwardedPayloadIsInCustodyToo) {
    source.publish(1, 16);
    world.turn();
    forward(relay_in.take());
    world.turn();
    Payload arrived = sink.take();
    settle_everywhere();

    EXPECT_EQ(source.status.settled, 0U);
    arrived = Payload{};
    settle_everywhere();
    EXPECT_EQ(source.status.settled, 1U);
}

TEST_F(ChainTest, AnInputIsSettledAfterEverythingMadeFromIt) {
    for (const std::size_t bytes : {std::size_t{16}, std::size_t{100'000}}) {
        const std::uint64_t settled_before = source.status.settled;
        source.publish(1, 1000);
        world.turn();
        {
            const Payload input = relay_in.take();
            emit_from(input, 2, bytes);
            emit_from(input, 3, bytes);
        }
        world.turn();
        Payload first = sink.take();
        Payload second = sink.take();

        second = Payload{};
        settle_everywhere();
        EXPECT_EQ(source.status.settled, settled_before) << bytes;
        first = Payload{};
        settle_everywhere();
        EXPECT_EQ(source.status.settled, settled_before + 1) << bytes;
    }
}

TEST_F(ChainTest, InputsAreSettledAfterWhatWasMadeOfThemTogether) {
    for (const std::size_t bytes : {std::size_t{16}, std::size_t{100'000}}) {
        const std::uint64_t settled_before = source.status.settled;
        for (std::uint64_t i = 0; i < 4; ++i) source.publish(i, 1000);
        world.turn();
        {
            std::vector<Payload> inputs;
            for (int i = 0; i < 3; ++i) inputs.push_back(relay_in.take());
            emit_from_all(inputs, 7, bytes);
            inputs.erase(inputs.begin());
            inputs.push_back(relay_in.take());
            emit_from_all(inputs, 8, bytes);
        }
        world.turn();
        Payload first = sink.take();
        Payload second = sink.take();
        settle_everywhere();
        EXPECT_EQ(source.status.settled, settled_before) << bytes;

        first = Payload{};
        settle_everywhere();
        EXPECT_EQ(source.status.settled, settled_before + 1) << bytes;
        second = Payload{};
        settle_everywhere();
        EXPECT_EQ(source.status.settled, settled_before + 4) << bytes;
    }
}

TEST_F(ChainTest, ADroppedDraftLetsGoOfWhatItKept) {
    source.publish(1, 1000);
    world.turn();
    {
        RawDraft draft{relay_out.make(2, 100'000)};
        draft.keep(relay_in.take());
        draft.keep(Payload{});
    }
    settle_everywhere();

    EXPECT_EQ(source.status.settled, 1U);
}

TEST_F(ChainTest, AnInputIsSettledAtOnceWhenNothingIsMadeFromIt) {
    source.publish(1, 1000);
    world.turn();

    static_cast<void>(relay_in.take());
    settle_everywhere();

    EXPECT_EQ(source.status.settled, 1U);
}

TEST_F(ChainTest, MemoryOnTheWayIsAllGivenBack) {
    std::vector<std::size_t> before;
    for (Rank rank = 0; rank < 3; ++rank) before.push_back(world[rank].arena.used_bytes());
    world.on_turn(1, [&] {
        while (const Payload input = relay_in.take()) {
            if (value_of(input) % 2 == 0) {
                forward(input);
            } else {
                emit_from(input, value_of(input), 2000);
            }
        }
        relay_in.in.flush_returns();
    });
    world.on_turn(2, [&] { sink.read(); });

    for (std::uint64_t i = 0; i < 1000; ++i) source.publish(i, 1000 + i % 5000);
    world.run_until([&] { return source.status.settled == 1000; });

    EXPECT_EQ(sink.values.size(), 1000U);
    for (Rank rank = 0; rank < 3; ++rank) EXPECT_EQ(world[rank].arena.used_bytes(), before[rank]) << rank;
}

TEST_F(ChainTest, ASenderWithoutMemoryWaitsForSettlement) {
    world.on_turn(1, [&] {
        while (const Payload input = relay_in.take()) forward(input);
        relay_in.in.flush_returns();
    });
    world.on_turn(2, [&] { sink.read(); });

    // Ten times what the arena holds; capacity alone would let half of it be under way.
    for (std::uint64_t i = 0; i < 160; ++i) source.publish(i, std::size_t{1} << 20U);

    world.run_until([&] { return source.status.settled == 160; });
    EXPECT_EQ(sink.values.size(), 160U);
}

}  // namespace
}  // namespace penstock::test
