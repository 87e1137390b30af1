#include "launch/tcp_world.hpp"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "launch/meeting.hpp"
#include "support/scratch_folder.hpp"

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class Rendezvous : public ::testing::Test {
protected:
    [[nodiscard]] std::string file() const { return folder.path("meet"); }
    [[nodiscard]] TcpPlace place(Rank rank, Rank ranks) const { return {.rank = rank, .ranks = ranks, .file = file()}; }

    /// Every rank a thread. @return by rank: what it threw, or nothing.
    template <class Body>
    [[nodiscard]] std::vector<std::optional<Error>> play(const std::vector<Rank>& who, Rank ranks,
                                                         std::chrono::milliseconds timeout, Body&& body) const {
        std::vector<std::optional<Error>> thrown(ranks);
        std::vector<std::thread> threads;
        for (const Rank rank : who) {
            threads.emplace_back([&, rank] {
                try {
                    TcpWorld world{place(rank, ranks), timeout};
                    body(world);
                } catch (const Error& error) {
                    thrown[rank] = error;
                }
            });
        }
        for (std::thread& thread : threads) thread.join();
        return thrown;
    }

    test::ScratchFolder folder;
};

TEST_F(Rendezvous, GathersWhatAllSayByRank) {
    std::vector<std::vector<std::string>> heard(4);
    const auto thrown = play({3, 1, 0, 2}, 4, 20s, [&](TcpWorld& world) {
        for (int round = 0; round < 3; ++round) {
            heard[world.rank()] = world.allgather(std::string(world.rank() * 100'000, 'x') + std::to_string(round));
        }
        EXPECT_TRUE(world.all_leave(20s));
    });

    for (const auto& each : thrown) EXPECT_FALSE(each) << each->what();
    for (const auto& all : heard) {
        ASSERT_EQ(all.size(), 4U);
        for (Rank rank = 0; rank < 4; ++rank) EXPECT_EQ(all[rank], std::string(rank * 100'000, 'x') + "2");
    }
    EXPECT_FALSE(fs::exists(file())) << "a secret that nobody needs any more";
}

TEST_F(Rendezvous, NamesWhoDidNotCome) {
    const auto thrown = play({0, 2}, 4, 300ms, [](TcpWorld&) {});

    ASSERT_TRUE(thrown[0]);
    EXPECT_EQ(thrown[0]->code(), Errc::timed_out);
    EXPECT_THAT(thrown[0]->what(), ::testing::HasSubstr("ranks 1, 3 of 4 did not come to the rendezvous"));
    EXPECT_FALSE(fs::exists(file()));
}

TEST_F(Rendezvous, SaysWhereItLookedForRank0) {
    const auto thrown = play({1}, 2, 100ms, [](TcpWorld&) {});

    ASSERT_TRUE(thrown[1]);
    EXPECT_EQ(thrown[1]->code(), Errc::timed_out);
    EXPECT_THAT(thrown[1]->what(), ::testing::HasSubstr(file()));
}

TEST_F(Rendezvous, NamesARankThatIsGone) {
    const auto thrown = play({0, 1, 2}, 3, 20s, [](TcpWorld& world) {
        if (world.rank() == 2) return;
        static_cast<void>(world.allgather("here"));
    });

    ASSERT_TRUE(thrown[0]);
    EXPECT_EQ(thrown[0]->code(), Errc::disconnected);
    EXPECT_THAT(thrown[0]->what(), ::testing::HasSubstr("rank 2 of 3 is gone"));
}

TEST_F(Rendezvous, IsNotDisturbedByTheWordOfARunBefore) {
    Meeting old;
    const File listener = old.call();  // somebody who is no rank 0, and says nothing
    if (old.addresses.empty()) old.addresses.emplace_back("127.0.0.1");
    std::ofstream{file()} << old.encode();
    fs::permissions(file(), fs::perms::owner_read | fs::perms::owner_write);

    const auto thrown = play({0, 1}, 2, 20s, [](TcpWorld& world) { static_cast<void>(world.allgather("here")); });

    for (const auto& each : thrown) EXPECT_FALSE(each) << each->what();
}

TEST_F(Rendezvous, LetsNobodyInWhoDoesNotKnowTheSecret) {
    std::thread stranger{[&] {
        std::string text;
        while (text.empty()) std::getline(std::ifstream{file()}, text);
        Meeting guess = Meeting::decode(text);
        guess.secret = std::string(guess.secret.size(), '0');
        static_cast<void>(guess.greet(1));
    }};
    std::vector<std::string> heard;
    const auto thrown = play({0}, 2, 500ms, [&](TcpWorld& world) { heard = world.allgather("here"); });
    stranger.join();

    ASSERT_TRUE(thrown[0]);
    EXPECT_THAT(thrown[0]->what(), ::testing::HasSubstr("rank 1 of 2 did not come"));
}

TEST_F(Rendezvous, WaitsForNobodyWhoSaysNothing) {
    Meeting meeting;
    const File listener = meeting.call();
    if (meeting.addresses.empty()) meeting.addresses.emplace_back("127.0.0.1");
    meeting.addresses.resize(1);
    Meeting silent = meeting;
    silent.secret.clear();  // what they say is shorter than a greeting
    std::vector<File> strangers;
    for (int i = 0; i < 300; ++i) strangers.push_back(silent.greet(7));
    const File line = meeting.greet(2);
    ASSERT_TRUE(line);

    Door door{meeting, listener};
    const auto guest = door.next(20s);

    ASSERT_TRUE(guest);
    EXPECT_EQ(guest->rank, 2U);
    EXPECT_FALSE(door.next(0ms));
}

TEST_F(Rendezvous, HearsAGreetingThatComesInPieces) {
    Meeting meeting;
    const File listener = meeting.call();
    if (meeting.addresses.empty()) meeting.addresses.emplace_back("127.0.0.1");
    meeting.addresses.resize(1);
    meeting.secret = "0000000001secret";
    Meeting first_piece = meeting;
    first_piece.secret.clear();
    const File right = first_piece.greet(1);
    const File wrong = first_piece.greet(1);
    Door door{meeting, listener};
    EXPECT_FALSE(door.next(50ms));
    const auto say = [](const File& line, std::string_view text) {
        EXPECT_EQ(send(line.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    };

    say(wrong, "sacred0000000004");
    say(right, "secret0000000005");
    const auto guest = door.next(20s);

    ASSERT_TRUE(guest);
    EXPECT_EQ(guest->rank, 5U);
    EXPECT_FALSE(door.next(50ms));
}

TEST_F(Rendezvous, IsForItsUserAlone) {
    std::ofstream{file()} << "1234 secret 127.0.0.1";
    fs::permissions(file(), fs::perms::owner_read | fs::perms::owner_write | fs::perms::others_read);

    const auto thrown = play({1}, 2, 20s, [](TcpWorld&) {});

    ASSERT_TRUE(thrown[1]);
    EXPECT_EQ(thrown[1]->code(), Errc::invalid_input);
    EXPECT_THAT(thrown[1]->what(), ::testing::HasSubstr("only this user"));
}

TEST_F(Rendezvous, LeavesWordThatOnlyItsUserCanRead) {
    struct stat facts {};
    std::thread first{[&] {
        const auto thrown = play({0}, 2, 300ms, [](TcpWorld&) {});
        EXPECT_TRUE(thrown[0]);
    }};
    while (stat(file().c_str(), &facts) != 0) std::this_thread::yield();
    first.join();

    EXPECT_EQ(facts.st_mode & 0777U, 0600U);
}

TEST_F(Rendezvous, NeedsAFolderThatIsThere) {
    std::ofstream{folder.path("no-folder")} << "text";
    try {
        const TcpWorld world{{.rank = 0, .ranks = 2, .file = folder.path("no-folder/meet")}, 1s};
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::invalid_input);
        EXPECT_THAT(error.what(), ::testing::HasSubstr("--runs-dir"));
    }
}

/// Sets variables for as long as it lives.
class Environment {
public:
    explicit Environment(std::vector<std::pair<const char*, const char*>> variables)
        : variables_{std::move(variables)} {
        for (const auto& [name, value] : variables_) setenv(name, value, 1);
    }
    ~Environment() {
        for (const auto& [name, value] : variables_) unsetenv(name);
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

private:
    std::vector<std::pair<const char*, const char*>> variables_;
};

TEST(RendezvousPlace, IsWhatSlurmSaysOfATask) {
    const Environment task{
        {{"SLURM_PROCID", "3"}, {"SLURM_STEP_NUM_TASKS", "5"}, {"SLURM_JOB_ID", "17"}, {"SLURM_STEP_ID", "0"}}};

    const TcpPlace place = TcpPlace::from_environment("/runs");

    EXPECT_EQ(place.rank, 3U);
    EXPECT_EQ(place.ranks, 5U);
    EXPECT_EQ(place.file, "/runs/.rendezvous-17.0");
}

TEST(RendezvousPlace, IsWhatTheUserSays) {
    const Environment task{{{"SLURM_PROCID", "3"},
                            {"SLURM_STEP_NUM_TASKS", "5"},
                            {"PENSTOCK_RANK", "0"},
                            {"PENSTOCK_RANKS", "2"},
                            {"PENSTOCK_RENDEZVOUS", "/tmp/meet"}}};

    const TcpPlace place = TcpPlace::from_environment("/runs");

    EXPECT_EQ(place.rank, 0U);
    EXPECT_EQ(place.ranks, 2U);
    EXPECT_EQ(place.file, "/tmp/meet");
}

TEST(RendezvousPlace, HasToBeKnown) {
    for (const auto& [rank, ranks, file] : std::vector<std::array<const char*, 3>>{{"2", "2", "/tmp/meet"},
                                                                                   {"x", "2", "/tmp/meet"},
                                                                                   {"-1", "2", "/tmp/meet"},
                                                                                   {"0", "", "/tmp/meet"},
                                                                                   {"0", "2", ""}}) {
        const Environment task{{{"PENSTOCK_RANK", rank}, {"PENSTOCK_RANKS", ranks}, {"PENSTOCK_RENDEZVOUS", file}}};
        EXPECT_THROW(static_cast<void>(TcpPlace::from_environment("/runs")), Error) << rank << " of " << ranks;
    }
    EXPECT_THROW(static_cast<void>(TcpPlace::from_environment("/runs")), Error);
}

}  // namespace
}  // namespace penstock::testing
