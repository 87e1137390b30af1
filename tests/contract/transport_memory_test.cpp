// Steady state: after warm-up no frame and no fetch takes memory from the heap, registers any or unpacks a key; and
// endpoints are opened when something is sent. Runs under mpiexec.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <malloc.h>

#include "memory/arena.hpp"
#include "support/library_uses.hpp"
#include "support/mpi_test.hpp"
#include "support/recorder.hpp"
#include "transports/mpi/mpi_transport.hpp"
#include "transports/shm/shm_transport.hpp"
#ifdef PENSTOCK_HAS_UCX
#include "transports/ucx/ucx_transport.hpp"
#endif
#ifdef PENSTOCK_HAS_OFI
#include "transports/ofi/ofi_transport.hpp"
#endif

namespace penstock::testing {
namespace {

/// A frame of 8 bytes asks to stop.
struct Events final : TransportEvents {
    std::uint64_t fetched = 0;
    int stops = 0;

    void on_frame(Rank, std::span<const std::byte> frame) override {
        if (frame.size() == 8) ++stops;
    }
    void on_fetched(std::uint64_t, std::string_view) override { ++fetched; }
    void on_lost(Rank, std::string_view) override { stops = 2; }
};

/// Sends to the next rank and receives from the previous one.
class Ring {
public:
    explicit Ring(std::unique_ptr<Transport> transport) : transport_{std::move(transport)} {
        transport_->connect(next_);
        transport_->connect(previous_);
    }

    /// As many frames as there is room for without polling: as much is under way as ever can be.
    void fill() {
        while (try_send(next_, 1000)) {
        }
        transport_->flush();
    }

    void exchange_frames(int rounds) {
        for (int i = 0; i < rounds; ++i) {
            for (const std::size_t bytes : {64U, 1000U, 20'000U}) send(next_, bytes);
            transport_->flush();
            transport_->poll(events_);
        }
    }

    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t times) {
        for (std::uint64_t i = 0; i < times; ++i) {
            const std::uint64_t before = events_.fetched;
            transport_->fetch(blob, into, i);
            ASSERT_TRUE(poll_until(*transport_, events_, [&] { return events_.fetched != before; }));
        }
    }

    /// Goes on until both neighbours have stopped too: they may need this one.
    void stop() {
        send(next_, 8);
        send(previous_, 8);
        ASSERT_TRUE(poll_until(*transport_, events_, [&] { return events_.stops >= 2 && transport_->drained(); }));
        (void)world().allgather({});
    }

    [[nodiscard]] Rank previous() const noexcept { return previous_; }

private:
    [[nodiscard]] bool try_send(Rank to, std::size_t bytes) {
        const auto room = transport_->reserve(to, bytes);
        if (room.empty()) return false;
        std::memset(room.data(), 1, room.size());
        transport_->commit(to);
        return true;
    }
    void send(Rank to, std::size_t bytes) {
        ASSERT_TRUE(poll_until(*transport_, events_, [&] { return try_send(to, bytes); }));
    }

    Rank next_ = (world().rank() + 1) % world().size();
    Rank previous_ = (world().rank() + world().size() - 1) % world().size();
    std::unique_ptr<Transport> transport_;
    Events events_;
};

constexpr int warm_up = 2000;
constexpr int measured = 5000;

/// What the libraries take for themselves is theirs to say: it is reported, not judged.
void expect_none(const LibraryUses& before, std::uint64_t times) {
    const LibraryUses since = library_uses() - before;
    EXPECT_EQ(since.ours, 0U);
    EXPECT_EQ(since.registrations, 0U);
    EXPECT_EQ(since.key_unpacks, 0U);
    EXPECT_EQ(since.endpoints, 0U);
    ::testing::Test::RecordProperty("library_allocations", std::to_string(since.of_libraries));
    if (world().rank() != 0) return;
    std::cout << "  the libraries took memory " << since.of_libraries << " times in " << times << " steps\n";
}

void expect_frames_take_none(Ring& ring) {
    ring.fill();
    ring.exchange_frames(warm_up);

    const LibraryUses before = library_uses();
    ring.exchange_frames(measured);
    expect_none(before, measured);

    ring.stop();
}

void expect_fetches_take_none(Ring& ring) {
    const BlobRef blob{.owner = ring.previous(), .offset = 4096, .bytes = 100'000};
    std::vector<std::byte> into(blob.bytes);
    ring.fill();
    ring.fetch(blob, into, 50);

    const LibraryUses before = library_uses();
    ring.fetch(blob, into, 200);
    expect_none(before, 200);

    ring.stop();
}

TEST(TransportMemory, ShmFramesTakeNoneAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    Ring ring{std::make_unique<ShmTransport>(world(), arena)};
    expect_frames_take_none(ring);
}

TEST(TransportMemory, MpiFramesTakeNoneAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    Ring ring{make_mpi_transport(arena)};
    expect_frames_take_none(ring);
}

TEST(TransportMemory, MpiFetchesTakeNoneAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    Ring ring{make_mpi_transport(arena)};
    expect_fetches_take_none(ring);
}

#ifdef PENSTOCK_HAS_UCX
TEST(TransportMemory, UcxFramesTakeNoneAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    Ring ring{make_ucx_transport(world(), arena).transport};
    expect_frames_take_none(ring);
}

TEST(TransportMemory, UcxFetchesTakeNoneAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    Ring ring{make_ucx_transport(world(), arena).transport};
    expect_fetches_take_none(ring);
}

TEST(TransportMemory, UcxRegistersTheArenaOnceAndUnpacksNoKey) {
    const LibraryUses before = library_uses();
    Arena arena{std::size_t{8} << 20U};
    Ring ring{make_ucx_transport(world(), arena).transport};
    const BlobRef blob{.owner = ring.previous(), .offset = 4096, .bytes = 100'000};
    std::vector<std::byte> into(blob.bytes);
    ring.fetch(blob, into, 10);

    const LibraryUses since = library_uses() - before;
    EXPECT_EQ(since.registrations, 1U);
    EXPECT_EQ(since.key_unpacks, 0U) << "blobs come by messages: there are no keys";

    ring.stop();
}

TEST(TransportEndpoints, OfUcxAreOpenedToThoseThatSomethingIsSentTo) {
    if (world().size() < 2) GTEST_SKIP() << "needs somebody to talk with";
    Arena arena{std::size_t{8} << 20U};
    auto transport = make_ucx_transport(world(), arena).transport;
    const LibraryUses before = library_uses();
    for (Rank rank = 0; rank < world().size(); ++rank) {
        if (rank != world().rank()) transport->connect(rank);
    }
    EXPECT_EQ((library_uses() - before).endpoints, 0U);
    (void)world().allgather({});

    // Ranks talk in pairs.
    const Rank partner = world().rank() ^ 1U;
    Events events;
    const auto room = transport->reserve(partner, 8);
    ASSERT_EQ(room.size(), 8U);
    std::memset(room.data(), 0, room.size());
    transport->commit(partner);
    transport->flush();
    ASSERT_TRUE(poll_until(*transport, events, [&] { return events.stops != 0 && transport->drained(); }));
    transport->wait(std::chrono::milliseconds{1});  // says what it has read

    EXPECT_EQ((library_uses() - before).endpoints, 1U) << "of " << world().size() - 1 << " peers";
    (void)world().allgather({});
}
#endif

#ifdef PENSTOCK_HAS_OFI
class OfiMemory : public ::testing::TestWithParam<bool> {
protected:
    [[nodiscard]] static ofi::Limits limits() { return GetParam() ? ofi::Limits::narrow() : ofi::Limits{}; }
};
INSTANTIATE_TEST_SUITE_P(Plain, OfiMemory, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Narrow, OfiMemory, ::testing::Values(true));

TEST_P(OfiMemory, FramesTakeNoneAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    Ring ring{make_ofi_transport(world(), arena, limits()).transport};
    expect_frames_take_none(ring);
}

TEST_P(OfiMemory, FetchesTakeNoneAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    Ring ring{make_ofi_transport(world(), arena, limits()).transport};
    expect_fetches_take_none(ring);
}

TEST_P(OfiMemory, NothingIsRegisteredAfterWarmUp) {
    Arena arena{std::size_t{8} << 20U};
    auto transport = make_ofi_transport(world(), arena, limits()).transport;
    const OfiTransport& ofi = *transport;
    Ring ring{std::move(transport)};
    const BlobRef blob{.owner = ring.previous(), .offset = 4096, .bytes = 100'000};
    std::vector<std::byte> into(blob.bytes);
    ring.exchange_frames(100);
    ring.fetch(blob, into, 10);

    const std::uint64_t before = ofi.registrations();
    EXPECT_GT(before, 0U);
    ring.exchange_frames(1000);
    ring.fetch(blob, into, 100);
    EXPECT_EQ(ofi.registrations() - before, 0U);

    ring.stop();
}
#endif

// --- peers that are never met ---

/// Makes this process a rank of many, all of which say what it says.
class Crowd final : public Bootstrap {
public:
    explicit Crowd(Rank ranks) noexcept : ranks_{ranks} {}
    [[nodiscard]] Rank rank() const noexcept override { return 0; }
    [[nodiscard]] Rank size() const noexcept override { return ranks_; }
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override {
        return std::vector<std::string>(ranks_, mine);
    }

private:
    Rank ranks_;
};

/// On the heap, touched or not; of libraries, too.
[[nodiscard]] std::size_t heap_bytes() noexcept {
    const struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
}

/// What a transport of many ranks has for each of them while nobody has sent anything.
template <class Make>
[[nodiscard]] std::size_t bytes_for_a_stranger(Make make) {
    const auto taken = [&make](Rank ranks) {
        Arena arena{std::size_t{8} << 20U};
        Crowd crowd{ranks};
        const std::size_t before = heap_bytes();
        const auto transport = make(crowd, arena);
        EXPECT_NE(transport, nullptr);
        return heap_bytes() - before;
    };
    (void)taken(2);  // what libraries take once
    const std::size_t few = taken(10);
    const std::size_t many = taken(1010);
    const std::size_t each = many > few ? (many - few) / 1000 : 0;
    if (world().rank() == 0) std::cout << "  " << each << " bytes for a peer that is never met\n";
    return each;
}

TEST(Strangers, TakeAnEntryOfShm) {
    EXPECT_LE(bytes_for_a_stranger(
                  [](Bootstrap& crowd, Arena& arena) { return std::make_unique<ShmTransport>(crowd, arena); }),
              1024U);
}

#ifdef PENSTOCK_HAS_UCX
TEST(Strangers, TakeAnAddressOfUcxAndNoEndpoint) {
    const LibraryUses before = library_uses();
    EXPECT_LE(
        bytes_for_a_stranger([](Bootstrap& crowd, Arena& arena) { return make_ucx_transport(crowd, arena).transport; }),
        2048U);
    EXPECT_EQ((library_uses() - before).endpoints, 0U);
}
#endif

#ifdef PENSTOCK_HAS_OFI
TEST_P(OfiMemory, AStrangerTakesTheBuffersOfItsFirstWordsOnly) {
    // What it may send unasked, the notes about what it is sent unasked, and a goodbye.
    const std::size_t first_words = 9 * std::min(std::size_t{16} << 10U, limits().message_bytes);
    const std::size_t each = bytes_for_a_stranger(
        [](Bootstrap& crowd, Arena& arena) { return make_ofi_transport(crowd, arena, limits()).transport; });

    EXPECT_GE(each, first_words);
    EXPECT_LE(each, first_words + 4096);
}
#endif

TEST(LibraryUses, AreCounted) {
    const LibraryUses before = library_uses();
    const auto taken = std::make_unique<std::vector<int>>(100);
    void* volatile memory = std::malloc(100);
    std::free(memory);

    const LibraryUses since = library_uses() - before;
    EXPECT_EQ(since.ours, 2U);
    EXPECT_EQ(since.of_libraries, 1U);
    EXPECT_EQ(taken->size(), 100U);
}

}  // namespace
}  // namespace penstock::testing
