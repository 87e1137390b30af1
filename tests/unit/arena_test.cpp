#include "memory/arena.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>
#include <new>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "memory/doorbell.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t mib = 1U << 20U;

[[nodiscard]] File open_as_peer(int fd, int flags) {
    return File{open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC)};
}

[[nodiscard]] std::optional<RemoteArena> map(const ArenaAddress& address, std::string& why) {
    why.clear();
    return RemoteArena::map(address, why);
}

TEST(Arena, IsWritableByItsOwnerAlone) {
    const Arena arena{mib};

    for (const int flags : {O_RDONLY, O_RDWR}) {
        const File peer = open_as_peer(arena.address().arena_fd, flags);
        ASSERT_TRUE(peer);
        void* writable = mmap(nullptr, mib, PROT_READ | PROT_WRITE, MAP_SHARED, peer.get(), 0);
        EXPECT_EQ(writable, MAP_FAILED);
        void* readable = mmap(nullptr, mib, PROT_READ, MAP_SHARED, peer.get(), 0);
        ASSERT_NE(readable, MAP_FAILED);
        EXPECT_NE(mprotect(readable, mib, PROT_READ | PROT_WRITE), 0);
        munmap(readable, mib);
    }
    const File peer = open_as_peer(arena.address().arena_fd, O_RDWR);
    const char byte = 'x';
    EXPECT_LT(pwrite(peer.get(), &byte, 1, 0), 0);
}

TEST(Arena, CanNeitherShrinkNorGrow) {
    const Arena arena{mib};

    for (const int fd : {arena.address().arena_fd, arena.address().doorbell_fd}) {
        EXPECT_NE(ftruncate(fd, 4096 / 2), 0);
        EXPECT_NE(ftruncate(fd, 2 * mib), 0);
    }
}

TEST(Arena, ShowsWhatItsOwnerWritesToWhoMapsIt) {
    Arena arena{mib};
    std::string why;
    auto remote = map(arena.address(), why);
    ASSERT_TRUE(remote) << why;
    const auto block = arena.allocate(100'000).value();

    std::memset(arena.at(block.offset), 0x5a, 100'000);

    const std::byte* seen = remote->view(block.offset, 100'000);
    ASSERT_NE(seen, nullptr);
    EXPECT_NE(seen, arena.at(block.offset));
    EXPECT_TRUE(std::all_of(seen, seen + 100'000, [](std::byte byte) { return byte == std::byte{0x5a}; }));
    EXPECT_EQ(remote->size_bytes(), arena.limit_bytes());
}

TEST(Arena, AlignsToCacheLinesAndBacksEveryBlock) {
    Arena arena{16 * mib};

    for (const std::size_t bytes : {std::size_t{1}, std::size_t{65}, 3 * mib, 7 * mib + 1}) {
        const auto block = arena.allocate(bytes).value();
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.at(block.offset)) % 64, 0U);
        // Every page of the block is there before anybody touches it.
        const std::uint64_t first = block.offset / 4096;
        const std::uint64_t last = (block.offset + bytes - 1) / 4096;
        std::vector<unsigned char> resident(last - first + 1);
        ASSERT_EQ(mincore(arena.base() + first * 4096, resident.size() * 4096, resident.data()), 0);
        EXPECT_TRUE(std::all_of(resident.begin(), resident.end(), [](unsigned char page) { return (page & 1U) != 0; }));
    }
}

TEST(Arena, TakesFromTheMachineOnlyWhatIsUsed) {
    Arena arena{64 * mib};
    static_cast<void>(arena.allocate(mib).value());

    std::vector<unsigned char> resident(arena.limit_bytes() / 4096);
    ASSERT_EQ(mincore(arena.base(), arena.limit_bytes(), resident.data()), 0);

    const auto pages =
        std::count_if(resident.begin(), resident.end(), [](unsigned char page) { return (page & 1U) != 0; });
    EXPECT_LE(static_cast<std::size_t>(pages) * 4096, 4 * mib);
}

TEST(Arena, IsFullUntilABlockIsReleased) {
    Arena arena{mib};
    const std::size_t used = arena.used_bytes();
    const auto most = arena.allocate(900'000).value();

    EXPECT_FALSE(arena.allocate(900'000));
    arena.release(most);
    EXPECT_EQ(arena.used_bytes(), used);
    EXPECT_TRUE(arena.allocate(900'000));
}

TEST(Arena, ReusesABlockWhenMuchWasReleasedAfterIt) {
    Arena arena{64 * mib};
    const auto reuses = [&](std::uint64_t offset) {
        const auto block = arena.allocate(mib);
        const bool same = block->offset == offset;
        arena.release(*block);
        return same;
    };
    const std::size_t used = arena.used_bytes();
    const auto first = arena.allocate(mib);
    arena.release(*first);

    EXPECT_EQ(arena.used_bytes(), used);
    for (int after = 0; after < 4; ++after) EXPECT_FALSE(reuses(first->offset)) << after;
    EXPECT_TRUE(reuses(first->offset));
}

TEST(Arena, ReusesASmallBlockWhenManyWereReleasedAfterIt) {
    Arena arena{64 * mib};
    const auto first = arena.allocate(64);
    arena.release(*first);

    for (int after = 0; after < 4096; ++after) {
        const auto block = arena.allocate(64);
        EXPECT_NE(block->offset, first->offset) << after;
        arena.release(*block);
    }
    EXPECT_EQ(arena.allocate(64)->offset, first->offset);
}

TEST(Arena, ReusesEverythingBeforeItIsFull) {
    Arena arena{8 * mib};
    for (int i = 0; i < 100; ++i) arena.release(*arena.allocate(64U << 10U));

    EXPECT_TRUE(arena.allocate(8 * mib - 4096));
}

TEST(Arena, RefusesBlocksLargerThanItself) {
    Arena arena{mib};

    EXPECT_FALSE(arena.allocate(mib + 1));
    EXPECT_FALSE(arena.allocate(std::size_t{1} << 60U));
    EXPECT_FALSE(arena.allocate(std::numeric_limits<std::size_t>::max()));
}

TEST(RemoteArena, ViewsOnlyWhatLiesInside) {
    const Arena arena{mib};
    std::string why;
    auto remote = map(arena.address(), why);
    ASSERT_TRUE(remote) << why;
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();

    EXPECT_EQ(remote->view(0, mib), remote->base());
    EXPECT_EQ(remote->view(mib, 0), remote->base() + mib);
    EXPECT_EQ(remote->view(mib - 1, 1), remote->base() + mib - 1);
    EXPECT_EQ(remote->view(0, mib + 1), nullptr);
    EXPECT_EQ(remote->view(mib, 1), nullptr);
    EXPECT_EQ(remote->view(mib + 1, 0), nullptr);
    EXPECT_EQ(remote->view(1, most), nullptr);
    EXPECT_EQ(remote->view(most, 1), nullptr);
    EXPECT_EQ(remote->view(most, most), nullptr);
}

TEST(RemoteArena, RefusesAnotherNonce) {
    const Arena arena{mib};
    auto address = arena.address();
    address.nonce[1] ^= 1U;
    std::string why;

    EXPECT_FALSE(map(address, why));
    EXPECT_THAT(why, HasSubstr("another process"));
}

TEST(RemoteArena, RefusesAnotherSize) {
    const Arena arena{mib};
    std::string why;

    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{4096}, std::uint64_t{2 * mib},
                                     std::uint64_t{1} << 47U, std::numeric_limits<std::uint64_t>::max()}) {
        auto address = arena.address();
        address.size_bytes = size;
        EXPECT_FALSE(map(address, why)) << size;
        EXPECT_THAT(why, ::testing::Not(IsEmpty())) << size;
    }
}

TEST(RemoteArena, RefusesAProcessThatIsGone) {
    const Arena arena{mib};
    const pid_t gone = fork();
    if (gone == 0) _exit(0);
    ASSERT_EQ(waitpid(gone, nullptr, 0), gone);
    auto address = arena.address();
    address.pid = gone;
    std::string why;

    EXPECT_FALSE(map(address, why));
    EXPECT_THAT(why, HasSubstr("cannot be opened"));
}

TEST(RemoteArena, RefusesAnUnsealedFile) {
    const Arena arena{mib};
    const File file{memfd_create("unsealed", MFD_CLOEXEC)};
    ASSERT_EQ(ftruncate(file.get(), static_cast<off_t>(mib)), 0);
    ASSERT_EQ(pwrite(file.get(), arena.address().nonce.data(), 16, 0), 16);
    auto address = arena.address();
    address.arena_fd = file.get();
    std::string why;

    EXPECT_FALSE(map(address, why));
    EXPECT_THAT(why, ::testing::Not(IsEmpty()));
}

/// Its owner could shrink such a file under the reader.
TEST(RemoteArena, RefusesAnOrdinaryFile) {
    const Arena arena{mib};
    std::array<char, 64> path{"arena-test-XXXXXX"};
    const File file{mkostemp(path.data(), O_CLOEXEC)};
    ASSERT_TRUE(file);
    unlink(path.data());
    ASSERT_EQ(ftruncate(file.get(), static_cast<off_t>(mib)), 0);
    ASSERT_EQ(pwrite(file.get(), arena.address().nonce.data(), 16, 0), 16);
    auto address = arena.address();
    address.arena_fd = file.get();
    std::string why;

    EXPECT_FALSE(map(address, why));
    EXPECT_THAT(why, ::testing::Not(IsEmpty()));
}

/// What another process happens to have under that number: opening a pipe that nobody writes to would wait for a
/// writer.
TEST(RemoteArena, RefusesAPipeWithoutWaiting) {
    const Arena arena{mib};
    std::array<char, 64> folder{"arena-test-XXXXXX"};
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    const std::string path = std::string{folder.data()} + "/pipe";
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    const File reading{open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    unlink(path.c_str());
    rmdir(folder.data());
    auto address = arena.address();
    address.arena_fd = reading.get();
    std::string why;
    alarm(20);

    EXPECT_FALSE(map(address, why));
    alarm(0);
    EXPECT_THAT(why, ::testing::Not(IsEmpty()));
}

TEST(RemoteArena, OutlivesItsOwner) {
    std::string why;
    std::optional<RemoteArena> remote;
    Block block;
    {
        Arena arena{mib};
        block = arena.allocate(1000).value();
        std::memset(arena.at(block.offset), 7, 1000);
        remote = map(arena.address(), why);
        ASSERT_TRUE(remote) << why;
    }

    const std::byte* seen = remote->view(block.offset, 1000);
    ASSERT_NE(seen, nullptr);
    EXPECT_EQ(seen[999], std::byte{7});
}

class DoorbellTest : public ::testing::Test {
protected:
    [[nodiscard]] Doorbell& bell() { return *reinterpret_cast<Doorbell*>(arena.doorbell()); }
    Arena arena{mib};
};

TEST_F(DoorbellTest, WakesASleeperInAnotherProcess) {
    const pid_t child = fork();
    if (child == 0) {
        std::string why;
        auto remote = RemoteArena::map(arena.address(), why);
        if (!remote) _exit(1);
        auto* theirs = reinterpret_cast<Doorbell*>(remote->doorbell());
        theirs->arm();
        theirs->sleep(60s);
        _exit(theirs->word.load() == Doorbell::awake ? 0 : 2);
    }
    const auto deadline = SteadyClock::now() + 20s;

    while (bell().word.load() != Doorbell::asleep && SteadyClock::now() < deadline) std::this_thread::yield();
    int status = -1;
    // Between announcing itself and sleeping the child may miss one ring's wake, never the changed word.
    EXPECT_FALSE(bell().ring(Doorbell::let_sleepers_fence()));
    while (waitpid(child, &status, WNOHANG) == 0 && SteadyClock::now() < deadline) std::this_thread::yield();
    if (status == -1) kill(child, SIGKILL);

    EXPECT_EQ(status, 0) << "the sleeper did not wake up";
}

TEST_F(DoorbellTest, DoesNotSleepWhenItWasRungAfterItWasArmed) {
    bell().arm();
    EXPECT_FALSE(bell().ring(Doorbell::let_sleepers_fence()));

    const auto start = SteadyClock::now();
    bell().sleep(60s);

    EXPECT_LT(SteadyClock::now() - start, 30s);
    EXPECT_EQ(bell().word.load(), Doorbell::awake);
}

TEST_F(DoorbellTest, AsksOneWhoRingsToWriteToThePipeOfASleeperOnDescriptors) {
    std::string why;
    auto remote = RemoteArena::map(arena.address(), why);
    ASSERT_TRUE(remote) << why;
    auto* theirs = reinterpret_cast<Doorbell*>(remote->doorbell());
    pollfd pipe{.fd = arena.bell_pipe(), .events = POLLIN, .revents = 0};
    const bool sleepers_fence = Doorbell::let_sleepers_fence();

    EXPECT_FALSE(theirs->ring(sleepers_fence)) << "nobody sleeps";
    bell().arm(Doorbell::asleep_on_pipe);
    EXPECT_TRUE(theirs->ring(sleepers_fence));
    EXPECT_FALSE(theirs->ring(sleepers_fence)) << "it is awake already";
    EXPECT_EQ(poll(&pipe, 1, 0), 0);
    remote->write_to_bell_pipe();
    EXPECT_EQ(poll(&pipe, 1, 0), 1);
    arena.empty_bell_pipe();
    EXPECT_EQ(poll(&pipe, 1, 0), 0);

    arena.write_to_bell_pipe();  // as a signal handler wakes its own process
    EXPECT_EQ(poll(&pipe, 1, 0), 1);
}

TEST_F(DoorbellTest, EndsASleepWhenItsTimeIsOver) {
    bell().arm();

    bell().sleep(1ms);
    bell().sleep(0ns);
    bell().sleep(-1s);

    EXPECT_EQ(bell().word.load(), Doorbell::asleep);
}

}  // namespace
}  // namespace penstock
