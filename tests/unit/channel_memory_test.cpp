// Steady state: after warm-up no payload takes memory from the heap, and the arena does not grow.

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "codec/codec.hpp"
#include "support/fetching.hpp"
#include "support/in_process_world.hpp"

namespace {

std::atomic<std::uint64_t> allocations{0};

[[nodiscard]] void* counted(std::size_t bytes, std::size_t alignment) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    if (void* memory = std::aligned_alloc(alignment, rounded)) return memory;
    throw std::bad_alloc{};
}

// Not inlined: the compiler would see `free` next to a `new` that it does not know to be ours.
[[gnu::noinline]] void give_back(void* memory) noexcept {
    std::free(memory);
}

}  // namespace

// The other forms of new and delete come down to these.
void* operator new(std::size_t bytes) {
    return counted(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return counted(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    give_back(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    give_back(memory);
}

namespace penstock::test {
namespace {

struct Load {
    std::string_view name;
    Route route;
    std::size_t bytes;
    std::size_t metadata_bytes;
    std::size_t kept;     ///< Payloads that the receiver holds at any time.
    bool is_far = false;  ///< Nothing can be mapped.
    Codec codec = Codec::none;
    Checksum checksum = Checksum::none;
};

class SteadyStateTest : public ::testing::TestWithParam<Load> {
protected:
    void publish(std::uint64_t value) {
        RawDraft draft{net.senders[0].make(value, GetParam().bytes)};
        draft.set("key", static_cast<std::int64_t>(value));
        draft.set("more", std::string_view{text}.substr(0, GetParam().metadata_bytes));
        net.senders[0].out.publish(draft.release());
    }
    /// Takes what has arrived and keeps the last few of it.
    void read() {
        for (Receiver& receiver : net.receivers) {
            while (Payload payload = receiver.take()) {
                EXPECT_EQ(payload.bytes().size(), GetParam().bytes);
                std::swap(window[payload.id().sequence % window.size()], payload);
            }
            receiver.in.flush_returns();
        }
    }
    void pass(std::uint64_t first, std::uint64_t end) {
        for (std::uint64_t value = first; value < end; ++value) {
            publish(value);
            net.world.turn();
            read();
        }
    }

    [[nodiscard]] static ChannelShape shape() {
        ChannelShape shape = channel_shape(1, 2);
        shape.route = GetParam().route;
        shape.key = "key";
        shape.compression = {GetParam().codec, levels_of(GetParam().codec).usual};
        shape.checksum = GetParam().checksum;
        return shape;
    }
    [[nodiscard]] static World::Wrap wrap() { return GetParam().is_far ? far_apart() : World::Wrap{}; }
    void SetUp() override {
        if (const auto remedy = remedy_for(GetParam().codec); !remedy.empty()) GTEST_SKIP() << remedy;
    }

    FetchingWorld net{shape(), wrap()};
    std::string text = std::string(1000, 't');
    std::vector<Payload> window{GetParam().kept};
};

TEST_P(SteadyStateTest, TakesNothingFromHeapOrArena) {
    // As much at once as capacity allows, then a while of the usual.
    for (std::uint64_t i = 0; i < 50; ++i) publish(i);
    pass(50, 500);
    const std::uint64_t heap = allocations.load();
    const std::size_t arena = net.world[0].arena.used_bytes();

    pass(500, 3000);

    EXPECT_EQ(allocations.load() - heap, 0U);
    EXPECT_EQ(net.world[0].arena.used_bytes(), arena);
    window.clear();
    for (Receiver& receiver : net.receivers) receiver.in.flush_returns();
}

INSTANTIATE_TEST_SUITE_P(Loads, SteadyStateTest,
                         ::testing::Values(Load{"SmallBalanced", Route::balance, 64, 0, 1},
                                           Load{"LargeBalanced", Route::balance, 100'000, 0, 1},
                                           Load{"LargeBroadcast", Route::broadcast, 100'000, 0, 1},
                                           Load{"HashedWithMetadata", Route::hash, 1000, 500, 1},
                                           Load{"KeptInAWindow", Route::balance, 10'000, 0, 16},
                                           Load{"Fetched", Route::balance, 10'000, 0, 1, true},
                                           Load{"Lz4", Route::balance, 10'000, 0, 1, true, Codec::lz4},
                                           Load{"Zstd", Route::balance, 10'000, 0, 1, true, Codec::zstd},
                                           Load{"Zlib", Route::broadcast, 10'000, 0, 1, true, Codec::zlib},
                                           Load{"Checksum", Route::balance, 10'000, 0, 1, false, Codec::none,
                                                Checksum::crc32c}),
                         [](const auto& load) { return std::string{load.param.name}; });

TEST(HeapCounter, CountsWhatIsTaken) {
    const std::uint64_t before = allocations.load();
    const auto taken = std::make_unique<std::vector<int>>(100);
    EXPECT_EQ(allocations.load() - before, 2U);
    EXPECT_EQ(taken->size(), 100U);
}

}  // namespace
}  // namespace penstock::test
