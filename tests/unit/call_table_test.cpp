#include "calls/call_table.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calls/answers.hpp"
#include "calls/call_drafts.hpp"
#include "calls/call_queue.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

[[nodiscard]] SteadyClock::time_point soon() {
    return SteadyClock::now() + 20s;
}

const Error over{Errc::disconnected, "over on purpose"};

TEST(CallTable, GivesAnAnswerToWhoCalled) {
    CallTable table{4};
    Call& first = *table.begin(soon(), {});
    Call& second = *table.begin(soon(), 77);

    EXPECT_EQ(table.expects(second.id)->user_id, 77U);
    EXPECT_EQ(table.expects(first.id)->user_id, first.id);
    table.answer(second.id, {});

    EXPECT_FALSE(table.has_ended(first));
    EXPECT_TRUE(table.wait(second));
    EXPECT_FALSE(table.result(second));  // it was given an empty one
    EXPECT_EQ(table.counts().in_flight, 1U);
}

TEST(CallTable, KnowsNoIdAgainAfterItsCall) {
    CallTable table{1};
    Call& old = *table.begin(soon(), {});
    const std::uint64_t id = old.id;
    table.answer(id, {});
    table.release(&old);

    Call& fresh = *table.begin(soon(), {});

    EXPECT_NE(fresh.id, id);
    EXPECT_FALSE(table.expects(id));
    table.settle(id);
    EXPECT_FALSE(table.has_ended(fresh));
    EXPECT_EQ(table.counts().unasked, 1U);
}

TEST(CallTable, ExpectsNothingOfIdsThatItNeverGave) {
    CallTable table{2};
    static_cast<void>(table.begin(soon(), {}));

    EXPECT_FALSE(table.expects(std::nullopt));
    EXPECT_FALSE(table.expects(0));
    EXPECT_FALSE(table.expects(1));
    EXPECT_FALSE(table.expects(~std::uint64_t{0}));
    EXPECT_EQ(table.counts().unasked, 4U);
}

TEST(CallTable, FailsACallThatIsSettledWithoutAnAnswer) {
    CallTable table{1};
    Call& call = *table.begin(soon(), {});

    table.settle(call.id);

    EXPECT_TRUE(table.wait(call));
    const Error error = error_of([&] { static_cast<void>(table.result(call)); });
    EXPECT_EQ(error.code(), Errc::failed);
    EXPECT_THAT(error.what(), HasSubstr("has not answered"));
}

TEST(CallTable, CountsACallThatWasGivenUpUntilTheGraphIsDoneWithIt) {
    CallTable table{1};
    Call& call = *table.begin(soon(), {});
    const std::uint64_t id = call.id;
    table.give_up(call, {Errc::timed_out, "late on purpose"});
    table.release(&call);

    EXPECT_FALSE(table.expects(id));
    const Error error = error_of([&] { static_cast<void>(table.begin(SteadyClock::now(), {})); });
    table.settle(id);

    EXPECT_EQ(error.code(), Errc::timed_out);
    EXPECT_THAT(error.what(), HasSubstr("1 calls are in flight"));
    EXPECT_NE(table.begin(SteadyClock::now(), {}), nullptr);
}

TEST(CallTable, LetsNobodyWaitOnceItIsOver) {
    CallTable table{1};
    Call& call = *table.begin(soon(), {});
    std::thread waits{
        [&] { EXPECT_EQ(error_of([&] { static_cast<void>(table.begin(soon(), {})); }).code(), over.code()); }};

    table.end(over);

    waits.join();
    EXPECT_TRUE(table.wait(call));
    EXPECT_THAT(error_of([&] { static_cast<void>(table.result(call)); }).what(), HasSubstr("over on purpose"));
    EXPECT_EQ(table.counts().in_flight, 0U);
}

TEST(CallTable, BelongsToManyThreadsAtOnce) {
    constexpr std::size_t places = 64;
    constexpr int callers = 8;
    constexpr int calls_each = 2000;
    CallTable table{places};
    CallQueue queue;
    std::atomic<int> answered{0};
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < callers; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < calls_each; ++n) {
                Call& call = *table.begin(soon(), {});
                // The id stands for a body that would carry it.
                ASSERT_TRUE(queue.push({reinterpret_cast<PayloadBody*>(call.id), {}}));
                ASSERT_TRUE(table.wait(call));
                try {
                    static_cast<void>(table.result(call));
                    ++answered;
                } catch (const Error&) {
                    ++failed;
                }
                table.release(&call);
            }
        });
    }

    std::thread graph{[&] {
        CallQueue::Item item;
        for (auto state = queue.pop(item); state != CallQueue::State::closed; state = queue.pop(item)) {
            if (state == CallQueue::State::empty) {
                std::this_thread::yield();
                continue;
            }
            const auto id = reinterpret_cast<std::uint64_t>(item.body);
            if (id >> 32U & 1U) table.answer(id, {});
            table.settle(id);
        }
    }};
    for (std::thread& thread : threads) thread.join();
    queue.close();
    graph.join();

    EXPECT_EQ(answered + failed, callers * calls_each);
    EXPECT_GT(answered, 0);
    EXPECT_GT(failed, 0);
    EXPECT_EQ(table.counts().in_flight, 0U);
    EXPECT_EQ(table.counts().begun, std::uint64_t{callers} * calls_each);
}

TEST(CallQueue, WakesWhoFoundItEmptyAndNobodyElse) {
    CallQueue queue;
    int woken = 0;
    queue.set_wake([&] { ++woken; });
    CallQueue::Item item;

    EXPECT_TRUE(queue.push({}));
    EXPECT_EQ(woken, 0);
    EXPECT_EQ(queue.pop(item), CallQueue::State::item);
    EXPECT_EQ(queue.pop(item), CallQueue::State::empty);
    EXPECT_TRUE(queue.push({}));
    EXPECT_TRUE(queue.push({}));

    EXPECT_EQ(woken, 1);
}

TEST(CallQueue, GivesWhatItHasAfterItIsClosed) {
    CallQueue queue;
    CallQueue::Item item;
    EXPECT_TRUE(queue.push({nullptr, "edge"}));

    queue.close();

    EXPECT_FALSE(queue.push({}));
    EXPECT_EQ(queue.pop(item), CallQueue::State::item);
    EXPECT_EQ(item.edge, "edge");
    EXPECT_EQ(queue.pop(item), CallQueue::State::closed);
}

// --- memory that outlives the run ---

struct Drafts {
    explicit Drafts(std::size_t bytes) { home->set_memory(std::make_shared<Arena>(bytes)); }
    [[nodiscard]] RawDraft make(std::size_t bytes, SteadyClock::time_point deadline = soon()) {
        return RawDraft{home->make(DType::bytes, Shape{bytes}, deadline)};
    }
    /// As a channel does: the payload gets an id, and is settled some time.
    void send_and_settle(RawDraft draft, std::uint64_t id) {
        PayloadBody* body = draft.release();
        body->user_id = id;
        body->has_id = true;
        drop_reference(body);
    }

    std::vector<std::uint64_t> settled;
    std::shared_ptr<CallDrafts> home =
        std::make_shared<CallDrafts>(1, [this](std::uint64_t id) { settled.push_back(id); });
};

TEST(CallDrafts, TellWhenTheyAreSettledAndNotWhenTheyAreDropped) {
    Drafts drafts{1U << 20U};

    { const RawDraft dropped = drafts.make(1000); }
    drafts.send_and_settle(drafts.make(1000), 5);
    drafts.send_and_settle(drafts.make(8), 6);

    EXPECT_THAT(drafts.settled, ::testing::ElementsAre(5, 6));
}

TEST(CallDrafts, WaitForMemoryThatAnotherThreadFrees) {
    Drafts drafts{1U << 20U};
    std::vector<RawDraft> held;
    while (true) {
        try {
            held.push_back(drafts.make(100'000, SteadyClock::now()));
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), Errc::exhausted);
            break;
        }
    }

    std::thread frees{[&] { held.clear(); }};
    const RawDraft last = drafts.make(100'000);

    frees.join();
    EXPECT_EQ(last.size_bytes(), 100'000U);
}

TEST(CallDrafts, RefuseWhatCanNeverFit) {
    Drafts drafts{1U << 20U};

    EXPECT_EQ(error_of([&] { static_cast<void>(drafts.make(2U << 20U)); }).code(), Errc::invalid_input);
    EXPECT_EQ(error_of([&] { static_cast<void>(drafts.home->make(DType::f64, Shape{1ULL << 62U}, soon())); }).code(),
              Errc::invalid_input);
}

TEST(CallDrafts, MayBeWrittenAfterTheRun) {
    auto drafts = std::make_unique<Drafts>(1U << 20U);
    RawDraft draft = drafts->make(1000);
    drafts->home->close();
    EXPECT_EQ(error_of([&] { static_cast<void>(drafts->make(8)); }).code(), Errc::disconnected);

    drafts.reset();

    draft.bytes()[999] = std::byte{1};
    EXPECT_EQ(draft.bytes()[999], std::byte{1});
}

/// Counts who comes home.
class CountingHome final : public PayloadHome {
public:
    void retire(PayloadBody*) noexcept override { ++retired; }
    void resolve(PayloadBody&) override {}
    std::atomic<int> retired{0};
};

struct Received {
    explicit Received(std::size_t bytes) : blob(bytes, std::byte{7}) {
        body.home = &home;
        body.data = blob.data();
        body.size_bytes = bytes;
        body.shape = Shape{bytes};
    }
    [[nodiscard]] Payload take(Answers& answers) {
        const Payload payload{&body};
        return answers.take(payload, 9);
    }

    CountingHome home;
    std::vector<std::byte> blob;
    PayloadBody body;
};

TEST(Answers, KeepALargePayloadUntilAnyThreadDropsThem) {
    const auto answers = std::make_shared<Answers>();
    Received received{1000};

    Payload answer = received.take(*answers);
    EXPECT_EQ(answer.bytes().data(), received.blob.data());
    EXPECT_EQ(answer.user_id(), 9U);
    EXPECT_EQ(received.home.retired, 0);
    std::thread{[held = std::move(answer)] {}}.join();

    EXPECT_EQ(received.home.retired, 1);
}

TEST(Answers, KeepNoSmallPayload) {
    const auto answers = std::make_shared<Answers>();
    Received received{256};

    const Payload answer = received.take(*answers);

    EXPECT_EQ(received.home.retired, 1);
    EXPECT_EQ(answer.bytes()[255], std::byte{7});
}

TEST(Answers, SettleWhatIsHeldWhenTheRunEnds) {
    auto answers = std::make_shared<Answers>();
    answers->set_memory(std::make_shared<Arena>(1U << 20U));
    Received received{1000};
    Received other{1000};
    const Payload answer = received.take(*answers);
    const Payload copy = answer;
    { const Payload dropped = other.take(*answers); }

    answers->close();
    answers.reset();

    EXPECT_EQ(received.home.retired, 1);
    EXPECT_EQ(other.home.retired, 1);
    EXPECT_EQ(copy.bytes()[999], std::byte{7});
}

TEST(Answers, AreDroppedWhileTheRunEnds) {
    for (int round = 0; round < 200; ++round) {
        auto answers = std::make_shared<Answers>();
        Received first{1000};
        Received second{1000};
        std::vector<Payload> held;
        held.push_back(first.take(*answers));
        held.push_back(second.take(*answers));

        std::thread drops{[&] { held.clear(); }};
        answers->close();
        answers.reset();
        drops.join();

        EXPECT_EQ(first.home.retired + second.home.retired, 2);
    }
}

}  // namespace
}  // namespace penstock
