// Channels that compress, and checksums of blobs.

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/codec.hpp"
#include "kernels/crc32c.hpp"
#include "support/fetching.hpp"
#include "support/in_process_world.hpp"
#include "unit/error_of.hpp"

namespace penstock::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Any codec of this build.
[[nodiscard]] Codec some_codec() {
    for (const Codec codec : {Codec::lz4, Codec::zstd, Codec::zlib}) {
        if (remedy_for(codec).empty()) return codec;
    }
    return Codec::none;
}

[[nodiscard]] ChannelShape packing_shape(std::uint32_t senders = 1, std::uint32_t receivers = 1,
                                         Codec codec = some_codec()) {
    ChannelShape shape = channel_shape(senders, receivers);
    shape.compression = {codec, levels_of(codec).usual};
    return shape;
}

[[nodiscard]] bool holds(const Payload& payload, std::uint64_t value) {
    const auto blob = payload.bytes();
    return value_of(payload) == value && std::all_of(blob.begin() + 8, blob.end(), [&](std::byte byte) {
               return byte == static_cast<std::byte>(value);
           });
}

[[nodiscard]] PayloadBody* make_noise(Sender& sender, std::size_t bytes) {
    PayloadBody* body = sender.make(0, bytes);
    std::mt19937_64 random{3};
    std::generate_n(const_cast<std::byte*>(body->data), bytes, [&] { return static_cast<std::byte>(random()); });
    return body;
}

/// What payloads take of an arena: transports have their rings in it too.
class ArenaUse {
public:
    ArenaUse(World& world, Rank ranks) : world_{world} {
        for (Rank rank = 0; rank < ranks; ++rank) before_.push_back(world[rank].arena.used_bytes());
    }
    [[nodiscard]] std::size_t at(Rank rank) const { return world_[rank].arena.used_bytes() - before_[rank]; }
    [[nodiscard]] std::size_t all() const {
        std::size_t sum = 0;
        for (Rank rank = 0; rank < before_.size(); ++rank) sum += at(rank);
        return sum;
    }

private:
    World& world_;
    std::vector<std::size_t> before_;
};

class CompressionTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (some_codec() == Codec::none) GTEST_SKIP() << "this build has no codec";
    }
    [[nodiscard]] static Payload next(FetchingWorld& net, std::size_t receiver = 0) {
        Payload payload;
        net.world.run_until([&] { return static_cast<bool>(payload = net.receivers[receiver].take()); });
        return payload;
    }
};

TEST_F(CompressionTest, SendsLessAndGivesBackTheSameBytes) {
    for (const Codec codec : {Codec::lz4, Codec::zstd, Codec::zlib}) {
        if (!remedy_for(codec).empty()) continue;
        FetchingWorld net{packing_shape(1, 1, codec)};
        const ArenaUse use{net.world, 2};
        Sender& sender = net.senders[0];
        for (std::uint64_t i = 0; i < 10; ++i) sender.publish(i, 100'000);

        for (std::uint64_t i = 0; i < 10; ++i) EXPECT_TRUE(holds(next(net), i));

        net.end();
        EXPECT_EQ(sender.status.bytes, 1'000'000U);
        EXPECT_LT(sender.status.packed_to, 100'000U);
        EXPECT_EQ(sender.status.not_packed, 0U);
        EXPECT_EQ(use.all(), 0U);
    }
}

TEST_F(CompressionTest, LeavesBlobsAloneThatAreMapped) {
    FetchingWorld net{packing_shape(), {}};
    net.senders[0].publish(7, 100'000);

    EXPECT_EQ(net.senders[0].out.compresses_for(), 0U);
    EXPECT_TRUE(holds(next(net), 7));
    EXPECT_EQ(net.senders[0].status.packed_to, 100'000U);
    EXPECT_EQ(net.senders[0].status.not_packed, 1U);
}

TEST_F(CompressionTest, SendsAsItIsWhatDoesNotGetSmaller) {
    FetchingWorld net{packing_shape()};
    PayloadBody* body = make_noise(net.senders[0], 50'000);
    const std::vector<std::byte> sent{body->data, body->data + 50'000};
    net.senders[0].out.publish(body);

    EXPECT_TRUE(std::ranges::equal(next(net).bytes(), sent));
    EXPECT_EQ(net.senders[0].status.packed_to, 50'000U);
    EXPECT_EQ(net.senders[0].status.not_packed, 1U);
}

TEST_F(CompressionTest, SendsAsItIsWhatIsSmall) {
    FetchingWorld net{packing_shape()};
    const std::vector<std::size_t> sizes{8, inline_blob_bytes, BlobCodecs::least_bytes - 1, BlobCodecs::least_bytes};
    for (const std::size_t bytes : sizes) net.senders[0].publish(bytes, bytes);

    for (const std::size_t bytes : sizes) EXPECT_TRUE(holds(next(net), bytes));
    EXPECT_EQ(net.senders[0].status.not_packed, 3U);
}

TEST_F(CompressionTest, KeepsOnlyTheCompressedFormOfWhatNobodyElseNeeds) {
    FetchingWorld net{packing_shape()};
    const ArenaUse use{net.world, 2};
    net.senders[0].publish(1, 1'000'000);

    EXPECT_LT(use.at(0), 100'000U);
    const Payload payload = next(net);
    EXPECT_TRUE(holds(payload, 1));
    // The receiver has what it unpacked, and no more the bytes that came.
    EXPECT_GE(use.at(1), 1'000'000U);
    EXPECT_LT(use.at(1), 1'001'000U);
}

TEST_F(CompressionTest, CompressesOnceForAllReceivers) {
    ChannelShape shape = packing_shape(1, 3);
    shape.route = Route::broadcast;
    FetchingWorld net{shape};
    const ArenaUse use{net.world, 4};
    net.senders[0].publish(1, 1'000'000);

    // One blob and one compressed form of it.
    EXPECT_LT(use.at(0), 1'010'000U);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(holds(next(net, i), 1));
    EXPECT_EQ(net.senders[0].status.bytes, 3'000'000U);
    net.end();
    EXPECT_EQ(use.all(), 0U);
}

TEST_F(CompressionTest, SendsAsItIsWhereTheArenaHasNoRoomBesideIt) {
    FetchingWorld net{packing_shape()};
    Arena& arena = net.world[0].arena;
    PayloadBody* body = net.senders[0].make(5, 8U << 20U);
    std::vector<Block> filling;
    for (std::size_t bytes = arena.limit_bytes(); bytes >= 64; bytes /= 2) {
        while (const auto block = arena.allocate(bytes)) filling.push_back(*block);
    }
    net.senders[0].out.publish(body);

    EXPECT_TRUE(holds(next(net), 5));
    EXPECT_EQ(net.senders[0].status.not_packed, 1U);
    for (const Block block : filling) arena.release(block);
}

/// What came ahead must not keep the room in which the first of it is to be unpacked.
TEST_F(CompressionTest, MakesRoomToUnpackWhatIsLarge) {
    ChannelShape shape = packing_shape();
    shape.capacity_bytes = std::uint64_t{1} << 30U;
    FetchingWorld net{shape};
    const ArenaUse use{net.world, 2};
    Sender& sender = net.senders[0];
    for (std::uint64_t i = 0; i < 5; ++i) {
        sender.publish(i, 7U << 20U);
        for (int k = 0; k < 8; ++k) {
            PayloadBody* body = make_noise(sender, 1U << 20U);
            std::memset(const_cast<std::byte*>(body->data), 1, 400U << 10U);  // some of it can be saved
            sender.out.publish(body);
            if (k > 2) continue;
            for (int turns = 0; turns < 4; ++turns) net.world.turn();  // as much comes ahead as may
        }
        net.let_all_read();
        net.world.run_until([&] { return net.receivers[0].values.size() == 9 * (i + 1); });
        net.world.on_turn(1, {});
    }
    net.end();
    EXPECT_EQ(use.all(), 0U);
}

TEST_F(CompressionTest, IsUndoneByTheConsumersOfACentralChannel) {
    for (const PassBy by : {PassBy::reference, PassBy::value}) {
        ChannelShape shape = central_shape(2, 2, by);
        shape.compression = {some_codec(), 0};
        shape.checksum = Checksum::crc32c;
        FetchingWorld net{shape};
        const ArenaUse use{net.world, 5};
        net.let_all_read();
        for (std::uint64_t i = 0; i < 30; ++i) net.senders[i % 2].publish(i, 50'000);
        net.end();

        EXPECT_EQ(net.receivers[0].values.size() + net.receivers[1].values.size(), 30U);
        EXPECT_LT(net.senders[0].status.packed_to, 100'000U);
        const std::uint64_t through = net.broker->view().touched_bytes;
        EXPECT_EQ(through,
                  by == PassBy::value ? net.senders[0].status.packed_to + net.senders[1].status.packed_to : 0U);
        EXPECT_EQ(use.all(), 0U);
    }
}

TEST_F(CompressionTest, IsUndoneByAConsumerThatCopies) {
    ChannelShape shape = packing_shape();
    shape.by = PassBy::value;
    FetchingWorld net{shape};
    const ArenaUse use{net.world, 2};
    for (std::uint64_t i = 0; i < 10; ++i) net.senders[0].publish(i, 50'000);

    for (std::uint64_t i = 0; i < 10; ++i) EXPECT_TRUE(holds(next(net), i));
    net.end();
    EXPECT_EQ(use.all(), 0U);
}

/// 0 makes, 1 hands on, 2 takes.
struct Chain {
    explicit Chain(const ChannelShape& first, const ChannelShape& second, PassBy by)
        : world{{.ranks = 3, .wrap = far_apart()}}, from_{first}, to_{second} {
        from_.by = by;
        to_.number = 1;
        to_.name = "next";
        to_.first_sender = 1;
        to_.first_receiver = 2;
        maker.emplace(world[0], from_);
        in.emplace(world[1], from_);
        out.emplace(world[1], to_);
        taker.emplace(world[2], to_);
        give_fetched_to(world[1], in->in);
        give_fetched_to(world[2], taker->in);
    }

    World world;
    ChannelShape from_;
    ChannelShape to_;
    std::optional<Sender> maker;
    std::optional<Receiver> in;
    std::optional<Sender> out;
    std::optional<Receiver> taker;
};

TEST_F(CompressionTest, StaysWithAPayloadThatIsHandedOn) {
    for (const PassBy by : {PassBy::reference, PassBy::value}) {
        for (const bool looks : {false, true}) {
            Chain chain{packing_shape(), channel_shape(1, 1), by};
            const ArenaUse use{chain.world, 3};
            chain.maker->publish(9, 100'000);
            Payload between;
            chain.world.run_until([&] { return static_cast<bool>(between = chain.in->take()); });
            if (looks) {
                EXPECT_TRUE(holds(between, 9));
            }
            chain.world.run_until([&] { return by == PassBy::reference || between.body()->settled; });
            add_reference(between.body());
            chain.out->out.publish(between.body());
            between = Payload{};

            Payload last;
            chain.world.run_until([&] { return static_cast<bool>(last = chain.taker->take()); });
            EXPECT_TRUE(holds(last, 9));
            EXPECT_EQ(last.body()->codec, some_codec());
            last = Payload{};
            chain.taker->in.flush_returns();
            chain.world.turn();
            chain.in->in.flush_returns();
            chain.world.turn();
            EXPECT_EQ(use.all(), 0U);
        }
    }
}

TEST_F(CompressionTest, RefusesWhatIsSpoiltOnItsWay) {
    const auto spoil = [](std::span<std::byte> blob) {
        for (std::byte& byte : blob) byte ^= std::byte{0xFF};
    };
    FetchingWorld net{packing_shape(), far_apart(spoil)};
    net.senders[0].publish(3, 100'000);
    const Payload payload = next(net);

    for (int i = 0; i < 2; ++i) {
        const Error error = error_of([&] { static_cast<void>(payload.bytes()); });
        EXPECT_EQ(error.code(), Errc::disconnected);
        EXPECT_THAT(error.what(), AllOf(HasSubstr("channel 'edge'"), HasSubstr("payload 3 of rank 0"),
                                        HasSubstr("spoilt at rank 1"), HasSubstr("of 100000 bytes")));
    }
}

TEST_F(CompressionTest, RefusesABlobThatFitsNoArenaBeforeItTakesMemory) {
    World world{{.ranks = 2, .wrap = far_apart()}};
    Receiver receiver{world[1], channel_shape(1, 1)};
    give_fetched_to(world[1], receiver.in);
    world[0].reactor.connect(1, "auto");
    PayloadBody body;
    body.size_bytes = std::uint64_t{1} << 60U;
    body.shape = Shape{body.size_bytes};
    const TicketForm form{.codec = some_codec(), .packed_bytes = 100};
    const std::size_t bytes = ticket_frame_bytes(body, 0, form);
    encode_ticket(body, 0, 0, form, world[0].transport().reserve(1, bytes));
    world[0].transport().commit(1);
    Payload payload;
    world.run_until([&] { return static_cast<bool>(payload = receiver.take()); });

    const Error error = error_of([&] { static_cast<void>(payload.bytes()); });

    EXPECT_THAT(error.what(), HasSubstr("is said to have 1152921504606846976 bytes"));
}

class ChecksumTest : public ::testing::TestWithParam<bool> {
protected:
    [[nodiscard]] static World::Wrap way(Fetching::Spoil spoil = {}) {
        return GetParam() ? far_apart(std::move(spoil)) : World::Wrap{};
    }
    [[nodiscard]] static ChannelShape shape() {
        ChannelShape shape = channel_shape(1, 1);
        shape.checksum = Checksum::crc32c;
        return shape;
    }
};

TEST_P(ChecksumTest, PassesBlobsOfEverySize) {
    FetchingWorld net{shape(), way()};
    for (const std::size_t bytes : {8U, 256U, 257U, 100'000U}) net.senders[0].publish(bytes, bytes);
    for (const std::size_t bytes : {8U, 256U, 257U, 100'000U}) {
        Payload payload;
        net.world.run_until([&] { return static_cast<bool>(payload = net.receivers[0].take()); });
        EXPECT_TRUE(holds(payload, bytes));
        EXPECT_EQ(payload.body()->checksum, crc32c(payload.bytes()));
    }
}

TEST_P(ChecksumTest, FindsAByteThatChanged) {
    FetchingWorld net{shape(), way([](std::span<std::byte> blob) { blob[500] ^= std::byte{1}; })};
    PayloadBody* body = net.senders[0].make(3, 1000);
    auto* blob = const_cast<std::byte*>(body->data);
    net.senders[0].out.publish(body);
    if (!GetParam()) blob[500] ^= std::byte{1};
    Payload payload;
    net.world.run_until([&] { return static_cast<bool>(payload = net.receivers[0].take()); });

    const Error error = error_of([&] { static_cast<void>(payload.bytes()); });

    EXPECT_EQ(error.code(), Errc::disconnected);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("channel 'edge'"), HasSubstr("payload 3 of rank 0"),
                                    HasSubstr("which rank 0 keeps"), HasSubstr("at rank 1"), HasSubstr("crc32c")));
}

INSTANTIATE_TEST_SUITE_P(Ways, ChecksumTest, ::testing::Bool(),
                         [](const auto& fetches) { return fetches.param ? "Fetched" : "Mapped"; });

TEST(Checksum, IsAskedFor) {
    ChannelShape with = channel_shape(1, 1);
    with.checksum = Checksum::crc32c;
    World world{{.ranks = 2}};
    Sender sender{world[0], channel_shape(1, 1)};
    Receiver receiver{world[1], with};
    sender.publish(1, 1000);
    world[0].reactor.flush();

    const Error error = error_of([&] { world[1].reactor.poll(); });

    EXPECT_THAT(error.what(), HasSubstr("without the checksum that channel 'edge' has"));
}

TEST(Checksum, OfABlobInATicketIsComparedWhenItComes) {
    ChannelShape with = channel_shape(1, 1);
    with.checksum = Checksum::crc32c;
    World world{{.ranks = 2}};
    Sender sender{world[0], with};
    Receiver receiver{world[1], with};
    PayloadBody* body = sender.make(1, 64);
    body->checksum = 1;
    body->has_checksum = true;
    sender.out.publish(body);
    world[0].reactor.flush();

    const Error error = error_of([&] { world[1].reactor.poll(); });

    EXPECT_THAT(error.what(), HasSubstr("and was 00000001 when it was sent"));
}

TEST(Checksum, OfAPayloadThatIsHandedOnIsThatOfItsMaker) {
    ChannelShape with = channel_shape(1, 1);
    with.checksum = Checksum::crc32c;
    for (const Checksum first : {Checksum::none, Checksum::crc32c}) {
        ChannelShape from = channel_shape(1, 1);
        from.checksum = first;
        Chain chain{from, with, PassBy::reference};
        chain.maker->publish(9, 100'000);
        Payload between;
        chain.world.run_until([&] { return static_cast<bool>(between = chain.in->take()); });
        add_reference(between.body());
        chain.out->out.publish(between.body());
        between = Payload{};

        Payload last;
        chain.world.run_until([&] { return static_cast<bool>(last = chain.taker->take()); });
        EXPECT_TRUE(holds(last, 9));
        EXPECT_TRUE(last.body()->has_checksum);
    }
}

}  // namespace
}  // namespace penstock::test
