#include <csignal>
#include <filesystem>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launch/local_processes.hpp"
#include "support/recorder.hpp"
#include "support/scratch_folder.hpp"
#include "transports/ucx/devices.hpp"
#include "transports/ucx/handles.hpp"
#include "transports/ucx/peer.hpp"
#include "transports/ucx/ucx_transport.hpp"
#include "transports/ucx/wire.hpp"

namespace penstock::ucx {
namespace {

using namespace std::chrono_literals;
using testing::Bytes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::poll_until;
using testing::Recorder;

// --- processes: first, as a process that uses UCX is better not forked ---

/// What the other process does with its transport; it ends when that returns.
using Body = std::function<void(Transport&, Recorder&)>;

int run(Bootstrap& bootstrap, const Body& body) {
    Arena arena{std::size_t{8} << 20U};
    const auto transport = make_ucx_transport(bootstrap, arena).transport;
    Recorder recorder;
    transport->connect(0);
    body(*transport, recorder);
    return 0;
}

class TwoProcesses {
public:
    explicit TwoProcesses(const Body& body)
        : processes{2, 20s, [](Rank rank) { return "rank" + std::to_string(rank); },
                    [&body](Rank, Bootstrap& bootstrap) { return run(bootstrap, body); }} {
        transport = make_ucx_transport(processes, arena).transport;
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
    std::unique_ptr<Transport> transport;
};

/// Waits for a frame, then is gone as after `kill -9`.
void die(Transport& transport, Recorder& recorder) {
    static_cast<void>(poll_until(transport, recorder, [&] { return recorder.count(0) != 0; }));
    std::raise(SIGKILL);
}

TEST(UcxPeerDeath, IsReportedOnceAndNothingWaitsForThePeerAnyMore) {
    TwoProcesses two{die};
    ASSERT_TRUE(two.send(Bytes(100)));

    EXPECT_TRUE(poll_until(*two.transport, two.recorder, [&] { return !two.recorder.lost.empty(); }));

    EXPECT_THAT(two.recorder.lost.at(1), HasSubstr("connection broke"));
    EXPECT_TRUE(two.transport->drained());
    ASSERT_TRUE(two.send(Bytes(100)));
    EXPECT_TRUE(two.transport->drained());
}

TEST(UcxPeerDeath, EndsTheFetchesFromThePeer) {
    TwoProcesses two{die};
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

TEST(UcxPeerDeath, OfAPeerThatSaidGoodbyeIsNone) {
    TwoProcesses two{[](Transport& transport, Recorder& recorder) {
        // Leaves with a frame of the other side unread: it would never be acknowledged.
        static_cast<void>(poll_until(transport, recorder, [&] { return recorder.count(0) == 1; }));
    }};
    ASSERT_TRUE(two.send(Bytes(100)));
    ASSERT_TRUE(poll_until(*two.transport, two.recorder, [&] { return two.transport->drained(); }));

    EXPECT_TRUE(
        poll_until(*two.transport, two.recorder, [&] { return two.send(Bytes(100)) && two.transport->drained(); }));

    EXPECT_THAT(two.recorder.lost, IsEmpty());
}

// --- what comes from others ---

/// Two workers of one process; the second sends what a peer never would.
class Hostile : public ::testing::Test {
protected:
    static constexpr std::uint64_t run = 42;

    Hostile() {
        wire = std::make_unique<Wire>(ours.get(), run, 0, 2);
        their_wire = std::make_unique<Wire>(theirs.get(), run, 1, 2);
        to_us = std::make_unique<Endpoint>(*their_wire, 0, address_of(ours));
        us = std::make_unique<Peer>(*wire, 1, address_of(theirs));
        us->connect();
    }
    ~Hostile() override {
        to_us.reset();
        us.reset();
    }

    /// What comes in at our side.
    [[nodiscard]] std::vector<Event> events(std::size_t at_least) {
        std::vector<Event> all;
        const auto deadline = SteadyClock::now() + 20s;
        while (all.size() < at_least && SteadyClock::now() < deadline) {
            their_wire->progress();
            wire->progress();
            Event event{};
            while (wire->take(event)) all.push_back(event);
        }
        return all;
    }
    void send(Kind kind, const Head& head) { their_wire->send(to_us->get(), kind, head, 0); }
    void send_frames(std::uint32_t sequence, const Bytes& message) {
        static Head head;
        head = {.run = run, .from = 1, .sequence = sequence};
        ucp_request_param_t param{};
        param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
        param.flags = UCP_AM_SEND_FLAG_EAGER;
        const auto request = ucp_am_send_nbx(to_us->get(), static_cast<unsigned>(Kind::frames), &head, sizeof head,
                                             message.data(), message.size(), &param);
        while (UCS_PTR_IS_PTR(request) && ucp_request_check_status(request) == UCS_INPROGRESS) {
            their_wire->progress();
            wire->progress();
        }
        if (UCS_PTR_IS_PTR(request)) ucp_request_free(request);
    }
    /// One frame of 8 bytes.
    [[nodiscard]] static Bytes message() {
        Bytes bytes(16);
        bytes[0] = std::byte{8};
        return bytes;
    }

    // Before the workers, which are gone first.
    std::unique_ptr<Wire> wire;
    std::unique_ptr<Wire> their_wire;
    std::unique_ptr<Endpoint> to_us;
    std::unique_ptr<Peer> us;
    Context our_context = make_context("lo");
    Context their_context = make_context("lo");
    Worker ours = make_worker(our_context);
    Worker theirs = make_worker(their_context);
};

TEST_F(Hostile, MessagesOfAnotherRunOrOfNobodyAreNotListenedTo) {
    send(Kind::note, {.run = run + 1, .from = 1});
    send(Kind::demand, {.run = run, .from = 2});
    send(Kind::goodbye, {.run = run, .from = ~Rank{0}});
    send(Kind::note, {.run = run, .from = 1, .acknowledged = 7});

    const auto came = events(1);

    ASSERT_EQ(came.size(), 1U);
    EXPECT_EQ(came[0].head.acknowledged, 7U);
}

TEST_F(Hostile, MessagesThatAreNoFramesAreRefused) {
    send_frames(0, {});
    send_frames(1, Bytes(16));  // a frame without bytes
    const auto came = events(2);
    ASSERT_EQ(came.size(), 2U);

    EXPECT_FALSE(us->on_message(came[0]));
    EXPECT_FALSE(us->on_message({.kind = Kind::frames, .head = {.sequence = 0}}));
    Event first = came[1];
    first.head.sequence = 0;
    ASSERT_TRUE(us->on_message(first));
    Recorder recorder;
    std::size_t count = 0;
    EXPECT_FALSE(us->deliver(recorder, count));
    EXPECT_EQ(count, 0U);
}

TEST_F(Hostile, MessagesAreDeliveredInTheOrderOfSendingAndTheWindowIsKept) {
    Recorder recorder;
    std::size_t count = 0;
    for (const std::uint32_t sequence : {1U, 0U, 1U, 6U, 2U}) send_frames(sequence, message());
    const auto came = events(5);
    ASSERT_EQ(came.size(), 5U);

    EXPECT_TRUE(us->on_message(came[0]));
    EXPECT_TRUE(us->deliver(recorder, count));
    EXPECT_EQ(count, 0U) << "the one before it is missing";
    EXPECT_TRUE(us->on_message(came[1]));
    EXPECT_TRUE(us->deliver(recorder, count));
    EXPECT_EQ(count, 2U);
    EXPECT_FALSE(us->on_message(came[2])) << "it was there before";
    EXPECT_FALSE(us->on_message(came[3])) << "beyond the window";
    EXPECT_TRUE(us->on_message(came[4]));
    EXPECT_TRUE(us->deliver(recorder, count));
    EXPECT_EQ(count, 3U);
}

TEST_F(Hostile, NobodyCanHaveReadWhatWasNotSent) {
    EXPECT_TRUE(us->on_acknowledged(0));
    EXPECT_FALSE(us->on_acknowledged(1));
    EXPECT_TRUE(us->on_acknowledged(~std::uint32_t{0})) << "a note that was overtaken";
}

// --- devices ---

class UcxDevices : public ::testing::Test {
protected:
    void make(const std::filesystem::path& path) { std::filesystem::create_directories(folder.path() / path); }
    [[nodiscard]] Devices choose(const std::vector<std::string>& interfaces, const char* asked_for = nullptr) {
        return choose_devices(interfaces, folder.path(), asked_for);
    }

    test::ScratchFolder folder;
};

TEST_F(UcxDevices, AreThoseThatLeadOut) {
    make("net/eth0");
    make("net/eth1");

    EXPECT_EQ(choose({"lo", "eth0", "eth1"}).use, "eth0,eth1");
    EXPECT_THAT(choose({"lo", "eth0", "eth1"}).bridges, IsEmpty());
}

TEST_F(UcxDevices, AreAllWhereNothingLeadsOut) {
    make("net/lo");

    EXPECT_EQ(choose({"lo"}).use, "");
    EXPECT_EQ(choose({}).use, "");
}

TEST_F(UcxDevices, LeaveBridgesOut) {
    make("net/br0/bridge");

    const Devices devices = choose({"lo", "br0", "eth0"});

    EXPECT_EQ(devices.use, "eth0");
    EXPECT_THAT(devices.bridges, ElementsAre("br0"));
}

TEST_F(UcxDevices, AreAllWhereOnlyABridgeLeadsOut) {
    make("net/br0/bridge");

    EXPECT_EQ(choose({"lo", "br0"}).use, "");
    EXPECT_THAT(choose({"lo", "br0"}).bridges, IsEmpty());
}

TEST_F(UcxDevices, AreAllWhereThereIsRdmaOrTheUserSaysWhich) {
    make("net/br0/bridge");
    EXPECT_EQ(choose({"br0", "eth0"}, "eth1").use, "");

    make("infiniband/mlx5_0");

    EXPECT_EQ(choose({"br0", "eth0"}).use, "");
}

}  // namespace
}  // namespace penstock::ucx
