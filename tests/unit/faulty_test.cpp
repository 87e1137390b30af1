#include "transports/faulty.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/recorder.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using testing::Bytes;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::Recorder;

/// A transport that delivers whatever it is told to.
class Script final : public Transport {
public:
    std::vector<std::function<void(TransportEvents&)>> next_poll;

    [[nodiscard]] std::string_view name() const noexcept override { return "script"; }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
    void connect(Rank) override {}
    [[nodiscard]] std::span<std::byte> reserve(Rank, std::size_t) override { return {}; }
    void commit(Rank) override {}
    void flush() override {}
    [[nodiscard]] bool drained() const override { return true; }
    std::size_t poll(TransportEvents& events) override {
        const auto now = std::exchange(next_poll, {});
        for (const auto& event : now) event(events);
        return now.size();
    }
    void wait(std::chrono::nanoseconds) override {}
    void wake() noexcept override {}
    [[nodiscard]] int arm(std::chrono::nanoseconds&) override { return -1; }
    [[nodiscard]] const std::byte* map(const BlobRef&) override { return nullptr; }
    void fetch(const BlobRef&, std::span<std::byte>, std::uint64_t) override {}

private:
    Capabilities capabilities_;
};

/// Runs frames numbered from 0 through faults, `bytes` long each, a few of them a poll.
class FaultyTest : public ::testing::Test {
protected:
    void start(const Faults& faults) {
        auto script = std::make_unique<Script>();
        script_ = script.get();
        faulty = std::make_unique<Faulty>(std::move(script), faults);
    }

    void arrive(Rank from, int first, int count, std::size_t bytes = 4) {
        for (int i = first; i < first + count; ++i) {
            script_->next_poll.emplace_back([=](TransportEvents& events) {
                Bytes frame(bytes);
                std::memcpy(frame.data(), &i, sizeof i);
                events.on_frame(from, frame);
            });
        }
    }

    /// Polls until all that will come has come.
    void drain(std::size_t expected) {
        EXPECT_TRUE(testing::poll_until(*faulty, recorder, [&] {
            std::size_t count = 0;
            for (const auto& [peer, frames] : recorder.frames) count += frames.size();
            return count >= expected;
        }));
        EXPECT_EQ(faulty->poll(recorder), 0U) << "more came than expected";
    }

    [[nodiscard]] std::vector<int> numbers(Rank from) {
        std::vector<int> found;
        for (const Bytes& frame : recorder.frames[from]) {
            int number = 0;
            std::memcpy(&number, frame.data(), sizeof number);
            found.push_back(number);
        }
        return found;
    }

    [[nodiscard]] static std::vector<int> up_to(int count) {
        std::vector<int> all(static_cast<std::size_t>(count));
        std::iota(all.begin(), all.end(), 0);
        return all;
    }

    Script* script_ = nullptr;
    std::unique_ptr<Faulty> faulty;
    Recorder recorder;
};

TEST_F(FaultyTest, WithoutFaultsEverythingPasses) {
    start({});
    arrive(0, 0, 100);
    script_->next_poll.emplace_back([](TransportEvents& events) { events.on_fetched(5, "no such blob"); });

    EXPECT_EQ(faulty->poll(recorder), 101U);
    EXPECT_EQ(numbers(0), up_to(100));
    EXPECT_EQ(recorder.fetched.at(5), "no such blob");
}

TEST_F(FaultyTest, DropsAboutAsManyAsAskedAndKeepsTheOrderOfTheRest) {
    start({.drop = 0.25});
    arrive(0, 0, 4000);
    faulty->poll(recorder);

    const auto left = numbers(0);
    EXPECT_NEAR(static_cast<double>(left.size()), 3000, 150);
    EXPECT_TRUE(std::is_sorted(left.begin(), left.end()));
}

TEST_F(FaultyTest, TruncatesToSomethingShorter) {
    start({.truncate = 1});
    arrive(0, 0, 100, 64);
    faulty->poll(recorder);

    ASSERT_EQ(recorder.count(0), 100U);
    for (const Bytes& frame : recorder.frames[0]) {
        EXPECT_GE(frame.size(), 1U);
        EXPECT_LT(frame.size(), 64U);
    }
}

TEST_F(FaultyTest, DuplicatesComeRightAfterTheFrame) {
    start({.duplicate = 1});
    arrive(0, 0, 3);
    faulty->poll(recorder);

    EXPECT_THAT(numbers(0), ElementsAre(0, 0, 1, 1, 2, 2));
}

TEST_F(FaultyTest, SwapsNeighboursOfOnePeer) {
    start({.swap = 1});
    arrive(0, 0, 4);
    drain(4);

    EXPECT_THAT(numbers(0), ElementsAre(1, 0, 3, 2));
}

TEST_F(FaultyTest, AFrameWaitsForItsSwapOverSeveralPolls) {
    start({.swap = 1});
    arrive(0, 0, 1);
    EXPECT_EQ(faulty->poll(recorder), 0U);
    arrive(0, 1, 1);
    drain(2);

    EXPECT_THAT(numbers(0), ElementsAre(1, 0));
}

TEST_F(FaultyTest, TheLastFrameIsNotLostWhenNoOtherComesToSwapWith) {
    start({.swap = 1});
    arrive(0, 0, 1);
    drain(1);

    EXPECT_THAT(numbers(0), ElementsAre(0));
}

TEST_F(FaultyTest, DelayKeepsTheOrderOfEachPeer) {
    start({.delay = 500us});
    for (int i = 0; i < 50; ++i) {
        arrive(0, i, 1);
        arrive(1, i, 1);
    }
    faulty->poll(recorder);
    EXPECT_LT(recorder.count(0) + recorder.count(1), 100U) << "nothing was held back";
    drain(100);

    EXPECT_EQ(numbers(0), up_to(50));
    EXPECT_EQ(numbers(1), up_to(50));
}

TEST_F(FaultyTest, TheSameSeedDoesTheSameToAPeerWhoeverElseSends) {
    const Faults faults{.drop = 0.3, .truncate = 0.2, .duplicate = 0.2, .seed = 42};
    start(faults);
    arrive(3, 0, 200, 16);
    faulty->poll(recorder);
    const auto alone = std::exchange(recorder.frames, {})[3];

    start(faults);
    for (int i = 0; i < 200; ++i) {
        arrive(2, i, 1, 16);
        arrive(3, i, 1, 16);
    }
    faulty->poll(recorder);

    EXPECT_EQ(recorder.frames[3], alone);
    EXPECT_NE(recorder.frames[2], alone) << "peers have sequences of their own";
}

TEST_F(FaultyTest, AnotherSeedDoesSomethingElse) {
    start({.drop = 0.5, .seed = 1});
    arrive(0, 0, 200);
    faulty->poll(recorder);
    const auto first = std::exchange(recorder.frames, {})[0];

    start({.drop = 0.5, .seed = 2});
    arrive(0, 0, 200);
    faulty->poll(recorder);

    EXPECT_NE(recorder.frames[0], first);
}

TEST_F(FaultyTest, WhatWasHeldBackComesBeforeTheLossOfItsPeer) {
    start({.delay = 1s});
    arrive(0, 0, 20);
    script_->next_poll.emplace_back([this](TransportEvents& events) {
        events.on_lost(0, "gone");
        EXPECT_EQ(recorder.count(0), 20U);
    });
    faulty->poll(recorder);

    EXPECT_EQ(numbers(0), up_to(20));
    EXPECT_EQ(recorder.lost.at(0), "gone");
}

}  // namespace
}  // namespace penstock
