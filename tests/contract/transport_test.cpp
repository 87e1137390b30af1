// What every transport promises, tested alike on all of them. Runs under mpiexec: every rank runs every test.

#include "transports/transport.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/arena.hpp"
#include "support/mpi_test.hpp"
#include "support/recorder.hpp"
#include "transports/faulty.hpp"
#include "transports/mpi/mpi_transport.hpp"
#include "transports/shm/shm_transport.hpp"
#include "transports/sleeper.hpp"
#ifdef PENSTOCK_HAS_UCX
#include "transports/ucx/ucx_transport.hpp"
#endif
#ifdef PENSTOCK_HAS_OFI
#include "transports/ofi/ofi_transport.hpp"
#endif

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;

struct Shm {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        return std::make_unique<ShmTransport>(bootstrap, arena);
    }
};

struct Mpi {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap&, Arena& arena) { return make_mpi_transport(arena); }
};

#ifdef PENSTOCK_HAS_UCX
struct Ucx {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        auto made = make_ucx_transport(bootstrap, arena);
        EXPECT_EQ(made.why_not, "");
        return std::move(made.transport);
    }
};
#endif

#ifdef PENSTOCK_HAS_OFI
struct Ofi {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        auto made = make_ofi_transport(bootstrap, arena);
        EXPECT_EQ(made.why_not, "");
        return std::move(made.transport);
    }
};

/// As on a device that neither reads nor keeps an order, with few buffers of a packet's length.
struct NarrowOfi {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        auto made = make_ofi_transport(bootstrap, arena, ofi::Limits::narrow());
        EXPECT_EQ(made.why_not, "");
        return std::move(made.transport);
    }
};

/// With payloads over several endpoints.
template <int rails>
struct RailedOfi {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        auto made = make_ofi_transport(bootstrap, arena, {}, {.rails = std::to_string(rails)});
        EXPECT_EQ(made.why_not, "");
        EXPECT_TRUE(made.transport != nullptr && made.transport->rails() == rails);
        return std::move(made.transport);
    }
};

struct NarrowRailedOfi {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        auto made = make_ofi_transport(bootstrap, arena, ofi::Limits::narrow(), {.rails = "3"});
        EXPECT_EQ(made.why_not, "");
        EXPECT_TRUE(made.transport != nullptr && made.transport->rails() == 3);
        return std::move(made.transport);
    }
};

/// As on a device that reads remote memory, and has nothing to sleep on.
struct ReadingOfi {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        auto made = make_ofi_transport(bootstrap, arena, {}, {.provider = "shm"});
        EXPECT_EQ(made.why_not, "");
        EXPECT_TRUE(made.transport != nullptr && made.transport->capabilities().native_read);
        return std::move(made.transport);
    }
};
#endif

template <class Inner>
struct Delayed {
    [[nodiscard]] static std::unique_ptr<Transport> make(Bootstrap& bootstrap, Arena& arena) {
        return std::make_unique<Faulty>(Inner::make(bootstrap, arena), Faults{.delay = 200us, .seed = 7});
    }
};

[[nodiscard]] Bytes pattern(std::size_t bytes, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    Bytes made(bytes);
    for (std::size_t at = 0; at < bytes; at += sizeof(std::uint64_t)) {
        const std::uint64_t word = random();
        std::memcpy(made.data() + at, &word, std::min(sizeof word, bytes - at));
    }
    return made;
}

/// The frame with that number from a rank: its length and bytes follow from both. Short ones are as frequent as long
/// ones.
[[nodiscard]] Bytes numbered_frame(Rank from, std::uint32_t number, std::size_t longest) {
    std::mt19937 random{from * 1'000'003U + number};
    const auto bits = std::uniform_int_distribution<int>{0, static_cast<int>(std::bit_width(longest)) - 1}(random);
    const std::size_t limit = std::min(std::size_t{2} << static_cast<unsigned>(bits), longest);
    return pattern(std::uniform_int_distribution<std::size_t>{1, limit}(random), random());
}

template <class Backend>
class TransportTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (this->transport == nullptr) GTEST_FAIL() << "no transport";
    }

    void TearDown() override {
        // Others may still need us: stay until all have said goodbye and all of ours are read.
        connect_all();
        for (Rank rank = 0; rank < ranks; ++rank) EXPECT_TRUE(send(rank, Bytes(3)));
        EXPECT_TRUE(poll_until([&] {
            for (Rank rank = 0; rank < ranks; ++rank) {
                if (recorder.count(rank) == 0) return false;
            }
            return transport->drained();
        })) << "no goodbye from everybody";
        EXPECT_THAT(recorder.lost, ::testing::IsEmpty());
        barrier();
    }

    void connect_all() {
        for (Rank rank = 0; rank < ranks; ++rank) transport->connect(rank);
    }

    void barrier() { (void)world().allgather({}); }

    template <class Done>
    [[nodiscard]] bool poll_until(Done&& done) {
        return testing::poll_until(*transport, recorder, std::forward<Done>(done));
    }

    [[nodiscard]] bool try_send(Rank to, const Bytes& frame) {
        const auto room = transport->reserve(to, frame.size());
        if (room.empty()) return false;
        EXPECT_EQ(room.size(), frame.size());
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(room.data()) % 8, 0U);
        std::copy(frame.begin(), frame.end(), room.begin());
        transport->commit(to);
        return true;
    }

    [[nodiscard]] bool send(Rank to, const Bytes& frame) {
        return poll_until([&] { return try_send(to, frame); });
    }

    [[nodiscard]] std::optional<Bytes> receive(Rank from) {
        if (!poll_until([&] { return recorder.count(from) != 0; })) return std::nullopt;
        return recorder.take(from);
    }

    /// Puts the bytes into this rank's arena, and learns from all where they put theirs.
    [[nodiscard]] std::vector<BlobRef> publish(const Bytes& bytes) {
        const auto block = arena.allocate(bytes.size());
        BlobRef mine{.owner = self, .offset = block.value().offset, .bytes = bytes.size()};
        std::copy(bytes.begin(), bytes.end(), arena.at(mine.offset));
        return exchange(mine);
    }

    [[nodiscard]] std::vector<BlobRef> exchange(const BlobRef& mine) {
        std::vector<BlobRef> refs;
        for (const std::string& text : world().allgather({reinterpret_cast<const char*>(&mine), sizeof mine})) {
            BlobRef ref;
            std::memcpy(&ref, text.data(), sizeof ref);
            refs.push_back(ref);
        }
        return refs;
    }

    /// @return what `on_fetched` said, or nothing if it was not called in time.
    [[nodiscard]] std::optional<std::string> fetch(const BlobRef& blob, Bytes& into, std::uint64_t token) {
        into.assign(blob.bytes, std::byte{0});
        transport->fetch(blob, into, token);
        if (!poll_until([&] { return recorder.fetched.contains(token); })) return std::nullopt;
        return recorder.fetched.at(token);
    }

    Rank self = world().rank();
    Rank ranks = world().size();
    Rank next = (self + 1) % ranks;
    Rank previous = (self + ranks - 1) % ranks;
    Arena arena{std::size_t{64} << 20U};
    Recorder recorder;
    std::unique_ptr<Transport> transport = Backend::make(world(), arena);
};

struct BackendNames {
    template <class Backend>
    static std::string GetName(int) {
        if (std::is_same_v<Backend, Shm>) return "Shm";
        if (std::is_same_v<Backend, Mpi>) return "Mpi";
#ifdef PENSTOCK_HAS_UCX
        if (std::is_same_v<Backend, Ucx>) return "Ucx";
        if (std::is_same_v<Backend, Delayed<Ucx>>) return "DelayedUcx";
#endif
#ifdef PENSTOCK_HAS_OFI
        if (std::is_same_v<Backend, Ofi>) return "Ofi";
        if (std::is_same_v<Backend, NarrowOfi>) return "NarrowOfi";
        if (std::is_same_v<Backend, ReadingOfi>) return "ReadingOfi";
        if (std::is_same_v<Backend, RailedOfi<2>>) return "OfiOn2Rails";
        if (std::is_same_v<Backend, RailedOfi<3>>) return "OfiOn3Rails";
        if (std::is_same_v<Backend, NarrowRailedOfi>) return "NarrowOfiOn3Rails";
        if (std::is_same_v<Backend, Delayed<Ofi>>) return "DelayedOfi";
#endif
        return std::is_same_v<Backend, Delayed<Shm>> ? "DelayedShm" : "DelayedMpi";
    }
};

template <class...>
struct Join;
template <class... All>
struct Join<::testing::Types<All...>> {
    using Type = ::testing::Types<All...>;
};
template <class... Some, class... More, class... Rest>
struct Join<::testing::Types<Some...>, ::testing::Types<More...>, Rest...>
    : Join<::testing::Types<Some..., More...>, Rest...> {};

#ifdef PENSTOCK_HAS_UCX
using WithUcx = ::testing::Types<Ucx, Delayed<Ucx>>;
#else
using WithUcx = ::testing::Types<>;
#endif
#ifdef PENSTOCK_HAS_OFI
using WithOfi = ::testing::Types<Ofi, NarrowOfi, ReadingOfi, Delayed<Ofi>, RailedOfi<2>, RailedOfi<3>, NarrowRailedOfi>;
#else
using WithOfi = ::testing::Types<>;
#endif
using Backends = Join<::testing::Types<Shm, Mpi, Delayed<Shm>, Delayed<Mpi>>, WithUcx, WithOfi>::Type;
TYPED_TEST_SUITE(TransportTest, Backends, BackendNames);

TYPED_TEST(TransportTest, RingDeliversBytesUnchanged) {
    this->connect_all();
    ASSERT_TRUE(this->send(this->next, pattern(4000, this->self)));

    EXPECT_EQ(this->receive(this->previous), pattern(4000, this->previous));
}

TYPED_TEST(TransportTest, PromisesRoomForUsefulFrames) {
    const Capabilities& can = this->transport->capabilities();

    EXPECT_GE(can.max_frame_bytes, 65'536U + 1024U);  // the largest metadata and its ticket
    EXPECT_GE(can.inline_bytes, 256U);
    EXPECT_LT(can.inline_bytes, can.max_frame_bytes);
}

TYPED_TEST(TransportTest, KeepsTheOrderOfAPeersFramesOfAllSizes) {
    constexpr std::uint32_t frames = 10'000;
    const std::size_t longest = this->transport->capabilities().max_frame_bytes;
    this->connect_all();
    std::uint32_t sent = 0;
    std::uint32_t received = 0;
    bool all_equal = true;

    EXPECT_TRUE(this->poll_until([&] {
        while (sent < frames && this->try_send(this->next, numbered_frame(this->self, sent, longest))) ++sent;
        for (; received < frames && this->recorder.count(this->previous) != 0; ++received) {
            all_equal =
                all_equal && this->recorder.take(this->previous) == numbered_frame(this->previous, received, longest);
        }
        return (sent == frames && received == frames) || !all_equal;
    })) << "sent "
        << sent << ", received " << received;
    EXPECT_TRUE(all_equal) << "at frame " << received;
}

TYPED_TEST(TransportTest, AFlushSendsTheRestOfABurst) {
    this->connect_all();
    for (const std::uint32_t frames : {1U, 5U, 17U, 100U}) {
        std::uint32_t sent = 0;
        while (sent < frames && this->try_send(this->next, pattern(100, sent))) ++sent;
        ASSERT_EQ(sent, frames);
        this->transport->flush();
        EXPECT_TRUE(this->poll_until([&] { return this->recorder.count(this->previous) >= frames; }));
        for (std::uint32_t i = 0; i < frames; ++i) EXPECT_EQ(this->recorder.take(this->previous), pattern(100, i));
    }
}

TYPED_TEST(TransportTest, TheLongestFrameArrives) {
    const std::size_t longest = this->transport->capabilities().max_frame_bytes;
    this->connect_all();
    ASSERT_TRUE(this->send(this->next, pattern(longest, this->self)));

    EXPECT_EQ(this->receive(this->previous), pattern(longest, this->previous));
}

TYPED_TEST(TransportTest, EveryRankReachesEveryRankAndItself) {
    constexpr std::uint32_t frames = 200;
    constexpr std::size_t longest = 2000;
    this->connect_all();
    for (std::uint32_t i = 0; i < frames; ++i) {
        for (Rank to = 0; to < this->ranks; ++to) {
            ASSERT_TRUE(this->send(to, numbered_frame(this->self * 100 + to, i, longest)));
        }
    }

    for (Rank from = 0; from < this->ranks; ++from) {
        for (std::uint32_t i = 0; i < frames; ++i) {
            ASSERT_EQ(this->receive(from), numbered_frame(from * 100 + this->self, i, longest)) << "rank " << from;
        }
    }
}

TYPED_TEST(TransportTest, FramesSentBeforeThePeerConnectsArrive) {
    if (this->self % 2 == 0) {
        this->connect_all();
        ASSERT_TRUE(this->try_send(this->next, pattern(100, this->self)));
        this->transport->flush();
    }
    this->barrier();
    this->connect_all();
    if (this->self % 2 != 0) {
        ASSERT_TRUE(this->send(this->next, pattern(100, this->self)));
    }

    EXPECT_EQ(this->receive(this->previous), pattern(100, this->previous));
}

TYPED_TEST(TransportTest, AFullOutboxRefusesThenHasRoomAgainAndLosesNothing) {
    constexpr std::uint32_t more_than_fit = 100'000;
    constexpr std::uint32_t extra = 1000;
    constexpr std::size_t frame_bytes = 1024;
    this->connect_all();
    this->barrier();
    std::uint32_t sent = 0;
    while (sent < more_than_fit && this->try_send(this->next, pattern(frame_bytes, sent))) {
        if (++sent % 64 == 0) this->transport->flush();
    }
    EXPECT_LT(sent, more_than_fit) << "the outbox has no end";
    EXPECT_GT(sent, 0U);
    const auto counts = world().allgather(std::to_string(sent + extra));  // nobody has polled until here

    for (std::uint32_t i = 0; i < extra; ++i) ASSERT_TRUE(this->send(this->next, pattern(frame_bytes, sent + i)));

    const auto expected = static_cast<std::uint32_t>(std::stoul(counts[this->previous]));
    for (std::uint32_t i = 0; i < expected; ++i) {
        ASSERT_EQ(this->receive(this->previous), pattern(frame_bytes, i)) << "frame " << i << " of " << expected;
    }
}

TYPED_TEST(TransportTest, DrainedBecomesTrueOnceTheFramesAreGone) {
    this->connect_all();
    EXPECT_TRUE(this->transport->drained());
    ASSERT_TRUE(this->try_send(this->next, pattern(100, this->self)));
    EXPECT_FALSE(this->transport->drained());
    this->barrier();  // nobody has polled until here
    this->transport->flush();

    EXPECT_TRUE(
        this->poll_until([&] { return this->transport->drained() && this->recorder.count(this->previous) != 0; }));
    EXPECT_EQ(this->receive(this->previous), pattern(100, this->previous));
}

TYPED_TEST(TransportTest, FramesToAForgottenPeerDoNotKeepItFromDraining) {
    Arena other_arena{std::size_t{8} << 20U};
    const auto other = TypeParam::make(world(), other_arena);
    for (Rank rank = 0; rank < this->ranks; ++rank) other->connect(rank);
    const auto room = other->reserve(this->next, 100);
    ASSERT_EQ(room.size(), 100U);
    std::fill(room.begin(), room.end(), std::byte{0});
    other->commit(this->next);
    EXPECT_FALSE(other->drained());

    other->forget(this->next);

    EXPECT_TRUE(other->drained());
    this->barrier();  // its arena stays until then
}

TYPED_TEST(TransportTest, FetchesBlobsOfAllSizes) {
    this->connect_all();
    const std::vector<std::size_t> sizes{1, 64U << 10U, (5U << 20U) + 3};
    std::vector<BlobRef> blobs;
    for (const std::size_t bytes : sizes) blobs.push_back(this->publish(pattern(bytes, this->self))[this->previous]);

    for (const BlobRef& blob : blobs) {
        Bytes copy;
        EXPECT_EQ(this->fetch(blob, copy, blob.bytes), "");
        EXPECT_TRUE(copy == pattern(blob.bytes, this->previous)) << blob.bytes << " bytes";
    }
}

TYPED_TEST(TransportTest, MapsBlobsOrSaysThatItCannot) {
    this->connect_all();
    const auto blobs = this->publish(pattern(100'000, this->self));
    const std::byte* mapped = this->transport->map(blobs[this->previous]);

    ASSERT_EQ(mapped != nullptr, this->transport->capabilities().maps);
    if (mapped != nullptr) {
        EXPECT_TRUE((Bytes{mapped, mapped + 100'000} == pattern(100'000, this->previous)));
    }
}

TYPED_TEST(TransportTest, FetchesWithoutAConnection) {
    const auto blobs = this->publish(pattern(10'000, this->self));
    Bytes copy;

    EXPECT_EQ(this->fetch(blobs[this->previous], copy, 1), "");

    EXPECT_EQ(copy, pattern(10'000, this->previous));
}

TYPED_TEST(TransportTest, ABlobOutsideTheArenaIsAnError) {
    this->connect_all();
    const std::uint64_t limit = this->arena.limit_bytes();
    std::uint64_t token = 0;
    for (const std::uint64_t offset : {limit - 99, limit, limit + 1, ~std::uint64_t{0} - 50}) {
        const BlobRef blob{.owner = this->previous, .offset = offset, .bytes = 100};
        Bytes copy;

        const auto error = this->fetch(blob, copy, ++token);

        ASSERT_TRUE(error.has_value());
        EXPECT_THAT(*error, ::testing::HasSubstr("arena")) << offset;
        if (this->transport->capabilities().maps) {
            EXPECT_THROW((void)this->transport->map(blob), Error) << offset;
        }
    }
}

TYPED_TEST(TransportTest, SeveralFetchesEndWithTheirTokens) {
    constexpr std::size_t fetches = 64;
    constexpr std::size_t bytes = 50'000;
    this->connect_all();
    const auto blobs = this->publish(pattern(fetches * bytes, this->self));
    std::vector<Bytes> copies(fetches, Bytes(bytes));
    for (std::size_t i = 0; i < fetches; ++i) {
        const BlobRef part{.owner = this->previous, .offset = blobs[this->previous].offset + i * bytes, .bytes = bytes};
        this->transport->fetch(part, copies[i], 1000 + i);
    }

    EXPECT_TRUE(this->poll_until([&] { return this->recorder.fetched.size() == fetches; }));
    const Bytes expected = pattern(fetches * bytes, this->previous);
    for (std::size_t i = 0; i < fetches; ++i) {
        EXPECT_EQ(this->recorder.fetched.at(1000 + i), "");
        EXPECT_TRUE(
            std::equal(copies[i].begin(), copies[i].end(), expected.begin() + static_cast<std::ptrdiff_t>(i * bytes)));
    }
}

TYPED_TEST(TransportTest, WaitEndsAtItsTimeout) {
    this->connect_all();
    const auto start = SteadyClock::now();
    this->transport->wait(5ms);

    EXPECT_LT(SteadyClock::now() - start, 20s);
}

TYPED_TEST(TransportTest, AWakeEndsTheWaitAfterIt) {
    this->connect_all();
    const auto start = SteadyClock::now();
    this->transport->wake();
    this->transport->wait(60s);

    EXPECT_LT(SteadyClock::now() - start, 20s);
}

TYPED_TEST(TransportTest, AWakeFromAnotherThreadEndsAWait) {
    this->connect_all();
    const auto start = SteadyClock::now();
    const std::jthread waker{[this] { this->transport->wake(); }};
    this->transport->wait(60s);

    EXPECT_LT(SteadyClock::now() - start, 20s);
}

TYPED_TEST(TransportTest, AFrameEndsAWait) {
    if (!this->transport->capabilities().can_block) GTEST_SKIP() << "it naps";
    this->connect_all();
    ASSERT_TRUE(this->send(this->next, pattern(10, this->self)));
    this->transport->flush();
    const auto start = SteadyClock::now();
    while (this->recorder.count(this->previous) == 0 && SteadyClock::now() - start < 50s) {
        this->transport->wait(60s);
        this->transport->poll(this->recorder);
    }

    EXPECT_LT(SteadyClock::now() - start, 20s);
    EXPECT_EQ(this->receive(this->previous), pattern(10, this->previous));
}

TYPED_TEST(TransportTest, AFrameEndsASleepThatIsNotTheTransportsAlone) {
    this->connect_all();
    Sleeper sleeper;
    const auto start = SteadyClock::now();
    const auto sleep_and_poll = [&] {
        std::chrono::nanoseconds timeout = 60s;
        const int descriptor = this->transport->arm(timeout);
        EXPECT_TRUE(descriptor >= 0 || timeout < 1s);
        if (timeout > 0s) sleeper.sleep(timeout, {&descriptor, 1});
        this->transport->disarm();
        this->transport->poll(this->recorder);
    };
    const auto passes = [&](Rank from) {
        while (this->recorder.count(from) == 0 && SteadyClock::now() - start < 50s) sleep_and_poll();
        EXPECT_EQ(this->receive(from), pattern(10, from));
    };
    // Once around, so that each but the first may be asleep when its frame comes.
    if (this->self != 0) passes(this->previous);
    ASSERT_TRUE(this->send(this->next, pattern(10, this->self)));
    this->transport->flush();
    if (this->self == 0) passes(this->previous);

    EXPECT_LT(SteadyClock::now() - start, 20s);
}

}  // namespace
}  // namespace penstock::testing
