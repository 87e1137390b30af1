#include <csignal>
#include <cstring>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "launch/local_processes.hpp"
#include "support/recorder.hpp"
#include "transports/ofi/ofi_transport.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using testing::Bytes;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::poll_until;
using testing::Recorder;

// --- processes ---

/// What the other process does with its transport; it ends when that returns.
using Body = std::function<void(Transport&, Recorder&)>;

int run(Bootstrap& bootstrap, const ofi::Limits& limits, const ofi::Wishes& wishes, const Body& body) {
    Arena arena{std::size_t{8} << 20U};
    const auto transport = make_ofi_transport(bootstrap, arena, limits, wishes).transport;
    Recorder recorder;
    transport->connect(0);
    body(*transport, recorder);
    return 0;
}

class TwoProcesses {
public:
    explicit TwoProcesses(const Body& body, const ofi::Limits& limits = {}, const ofi::Wishes& wishes = {})
        : processes{2, 20s, [](Rank rank) { return "rank" + std::to_string(rank); },
                    [&](Rank, Bootstrap& bootstrap) { return run(bootstrap, limits, wishes, body); }} {
        transport = make_ofi_transport(processes, arena, limits, wishes).transport;
        transport->connect(1);
    }

    [[nodiscard]] bool send(const Bytes& frame) {
        const auto room = transport->reserve(1, frame.size());
        if (room.empty()) return false;
        std::copy(frame.begin(), frame.end(), room.begin());
        transport->commit(1);
        transport->flush();
        return true;
    }

    Arena arena{std::size_t{8} << 20U};
    Recorder recorder;
    LocalProcesses processes;
    std::unique_ptr<OfiTransport> transport;
};

/// Waits for a frame, then is gone as after `kill -9`.
void die(Transport& transport, Recorder& recorder) {
    static_cast<void>(poll_until(transport, recorder, [&] { return recorder.count(0) != 0; }));
    std::raise(SIGKILL);
}

struct Device {
    bool is_narrow = false;
    const char* rails = "";
};

class OfiPeerDeath : public ::testing::TestWithParam<Device> {
protected:
    [[nodiscard]] static ofi::Limits limits() { return GetParam().is_narrow ? ofi::Limits::narrow() : ofi::Limits{}; }
    [[nodiscard]] static ofi::Wishes wishes() { return {.rails = GetParam().rails}; }
};
INSTANTIATE_TEST_SUITE_P(Plain, OfiPeerDeath, ::testing::Values(Device{}));
INSTANTIATE_TEST_SUITE_P(Narrow, OfiPeerDeath, ::testing::Values(Device{.is_narrow = true}));
INSTANTIATE_TEST_SUITE_P(OnRails, OfiPeerDeath, ::testing::Values(Device{.is_narrow = false, .rails = "2"}));

TEST_P(OfiPeerDeath, IsReportedOnceAndNothingWaitsForThePeerAnyMore) {
    TwoProcesses two{die, limits(), wishes()};
    ASSERT_TRUE(two.send(Bytes(100)));

    EXPECT_TRUE(poll_until(*two.transport, two.recorder, [&] { return !two.recorder.lost.empty(); }));

    EXPECT_THAT(two.recorder.lost.at(1), HasSubstr("connection broke"));
    EXPECT_TRUE(two.transport->drained());
    ASSERT_TRUE(two.send(Bytes(100)));
    EXPECT_TRUE(two.transport->drained());
}

/// Sends its process number.
void say_pid(Transport& transport, Recorder& recorder) {
    const pid_t pid = ::getpid();
    const auto room = transport.reserve(0, sizeof pid);
    std::memcpy(room.data(), &pid, sizeof pid);
    transport.commit(0);
    static_cast<void>(poll_until(transport, recorder, [&] { return transport.drained(); }));
}

TEST_P(OfiPeerDeath, IsNoticedWhileNothingIsUnderWayAndThePeerComputes) {
    TwoProcesses two{[](Transport& transport, Recorder& recorder) {
                         say_pid(transport, recorder);
                         ::pause();
                     },
                     limits(), wishes()};
    ASSERT_TRUE(poll_until(*two.transport, two.recorder, [&] { return two.recorder.count(1) != 0; }));
    pid_t pid = 0;
    std::memcpy(&pid, two.recorder.take(1).data(), sizeof pid);
    const auto until = SteadyClock::now() + 1500ms;  // it may compute as long as it likes
    ASSERT_TRUE(poll_until(*two.transport, two.recorder, [&] { return SteadyClock::now() > until; }));
    EXPECT_THAT(two.recorder.lost, IsEmpty());

    ASSERT_EQ(::kill(pid, SIGKILL), 0);

    EXPECT_TRUE(poll_until(*two.transport, two.recorder, [&] { return !two.recorder.lost.empty(); }));
}

TEST_P(OfiPeerDeath, EndsTheFetchesFromThePeer) {
    TwoProcesses two{die, limits(), wishes()};
    std::vector<Bytes> into(20, Bytes(1U << 20U));
    ASSERT_TRUE(two.send(Bytes(100)));
    for (std::size_t i = 0; i < into.size(); ++i) {
        two.transport->fetch({.owner = 1, .offset = 0, .bytes = into[i].size()}, into[i], i);
    }

    EXPECT_TRUE(poll_until(*two.transport, two.recorder, [&] { return two.recorder.fetched.size() == into.size(); }));
    EXPECT_TRUE(poll_until(*two.transport, two.recorder, [&] { return !two.recorder.lost.empty(); }));

    Bytes late(100);
    two.transport->fetch({.owner = 1, .offset = 0, .bytes = late.size()}, late, 1000);
    EXPECT_TRUE(poll_until(*two.transport, two.recorder, [&] { return two.recorder.fetched.contains(1000); }));
    EXPECT_THAT(two.recorder.fetched.at(1000), HasSubstr("gone"));
}

TEST_P(OfiPeerDeath, OfAPeerThatSaidGoodbyeIsNone) {
    TwoProcesses two{[](Transport& transport, Recorder& recorder) {
                         // Leaves with a frame of the other side unread: it would never be acknowledged.
                         static_cast<void>(poll_until(transport, recorder, [&] { return recorder.count(0) == 1; }));
                     },
                     limits(), wishes()};
    ASSERT_TRUE(two.send(Bytes(100)));
    ASSERT_TRUE(poll_until(*two.transport, two.recorder, [&] { return two.transport->drained(); }));

    EXPECT_TRUE(
        poll_until(*two.transport, two.recorder, [&] { return two.send(Bytes(100)) && two.transport->drained(); }));

    EXPECT_THAT(two.recorder.lost, IsEmpty());
}

TEST(OfiTransportText, NamesTheRails) {
    TwoProcesses two{[](Transport&, Recorder&) {}, {}, {.rails = "2"}};

    EXPECT_EQ(two.transport->rails(), 2U);
    EXPECT_THAT(two.transport->description(), HasSubstr("(2 rails)"));
}

TEST(OfiTransportText, SaysWhichNumberOfRailsIsNone) {
    Arena arena{std::size_t{8} << 20U};
    LocalProcesses alone{1, 20s, [](Rank) { return std::string{"alone"}; }, [](Rank, Bootstrap&) { return 0; }};

    const OfiResult result = make_ofi_transport(alone, arena, {}, {.rails = "many"});

    EXPECT_EQ(result.transport, nullptr);
    EXPECT_THAT(result.why_not, HasSubstr("PENSTOCK_OFI_RAILS is 'many'"));
}

TEST(OfiTransportText, NamesTheProviderAndTheDevice) {
    TwoProcesses two{[](Transport&, Recorder&) {}};

    EXPECT_THAT(two.transport->description(),
                AllOf(HasSubstr("libfabric "), HasSubstr("provider "), HasSubstr("device ")));
    EXPECT_THAT(ofi::here().text, HasSubstr(" on "));
}

}  // namespace
}  // namespace penstock
