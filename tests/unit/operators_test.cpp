#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/pattern_fill.hpp"
#include "operators/progress.hpp"
#include "support/fake_runtime.hpp"

namespace penstock {
namespace {

using std::chrono::milliseconds;
using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using test::params;

ParamValue number(std::int64_t value) {
    return ParamValue{value};
}

void produce_all(Source& source, FakeOutput& out) {
    while (source.produce(out)) continue;
    source.finish();
}

TEST(Milestones, GrowRarerAsStepsGrowMany) {
    std::vector<std::uint64_t> found;
    for (std::uint64_t steps = 0; steps <= 100'000; ++steps) {
        if (is_milestone(steps)) found.push_back(steps);
    }

    EXPECT_EQ(found[0], 10U);
    EXPECT_EQ(found[99], 1'000U);
    EXPECT_EQ(found[100], 1'100U);
    EXPECT_EQ(found[189], 10'000U);
    EXPECT_EQ(found[190], 11'000U);
    EXPECT_EQ(found.back(), 100'000U);
}

TEST(PatternFill, HasTheSumThatIsForetold) {
    for (std::size_t size = 0; size < 200; ++size) {
        std::vector<std::byte> bytes(size);
        fill_pattern(bytes, ~0ULL - 5);
        EXPECT_EQ(sum_words(bytes), pattern_sum(size, ~0ULL - 5)) << size;
    }
}

TEST(Pattern, MakesPayloadsOfTheSizeThatNullVerifies) {
    FakeContext context;
    FakeOutput out;
    const auto source =
        make_builtin<Source>("pattern", params({{"size_bytes", number(1003)}, {"count", number(5)}}), context);
    const auto sink = make_builtin<Sink>("null", {}, context);

    produce_all(*source, out);
    for (const auto& payload : out.emitted) sink->consume(payload);

    ASSERT_EQ(out.emitted.size(), 5U);
    EXPECT_EQ(out.emitted[0].size_bytes(), 1003U);
    EXPECT_FALSE(std::ranges::equal(out.emitted[0].bytes(), out.emitted[1].bytes()));
    EXPECT_EQ(context.counters["payloads"], 5U);
    EXPECT_EQ(context.counters["bytes"], 5015U);
}

TEST(Pattern, CyclesThroughTheKeys) {
    FakeContext context;
    FakeOutput out;
    const auto source = make_builtin<Source>(
        "pattern", params({{"key", ParamValue{std::string{"k"}}}, {"keys", number(2)}, {"count", number(3)}}), context);

    produce_all(*source, out);

    EXPECT_EQ(out.emitted[0].metadata().integer("k"), 0);
    EXPECT_EQ(out.emitted[1].metadata().integer("k"), 1);
    EXPECT_EQ(out.emitted[2].metadata().integer("k"), 0);
}

TEST(Pattern, UntouchedCarriesNothingToVerify) {
    FakeContext context;
    FakeOutput out;
    const auto source =
        make_builtin<Source>("pattern", params({{"touch", ParamValue{false}}, {"count", number(1)}}), context);

    produce_all(*source, out);

    EXPECT_EQ(out.emitted[0].metadata().integer("pattern"), std::nullopt);
}

TEST(Pattern, PausesOnceAndKeepsItsIntervals) {
    FakeContext context;
    FakeOutput out;
    const auto source = make_builtin<Source>(
        "pattern", params({{"pause", ParamValue{std::string{"1s"}}}, {"interval", number(5)}, {"count", number(3)}}),
        context);

    produce_all(*source, out);

    ASSERT_EQ(context.waits.size(), 4U);
    EXPECT_EQ(context.waits[3] - context.waits[1], milliseconds{10});
}

TEST(Pattern, EndsWhenTheRunStopsWhileItWaits) {
    FakeContext context;
    FakeOutput out;
    context.stopping = true;
    const auto paused = make_builtin<Source>("pattern", params({{"pause", number(5)}}), context);
    const auto paced = make_builtin<Source>("pattern", params({{"interval", number(5)}}), context);

    EXPECT_FALSE(paused->produce(out));
    EXPECT_FALSE(paced->produce(out));
    EXPECT_TRUE(out.emitted.empty());
}

TEST(Null, FindsAByteThatIsNotWhatWasWritten) {
    FakeContext context;
    FakeOutput out;
    const auto sink = make_builtin<Sink>("null", {}, context);
    auto draft = out.draft<std::byte>(100);
    fill_pattern(draft.bytes(), 77);
    draft.set(pattern_key, 77);
    draft.bytes()[57] ^= std::byte{1};

    EXPECT_THROW(sink->consume(out.sealed(std::move(draft))), Error);
}

TEST(Null, LeavesUntouchedWhatItNeedNotRead) {
    FakeContext context;
    FakeOutput out;
    const auto sink = make_builtin<Sink>("null", params({{"touch", ParamValue{false}}}), context);
    auto draft = out.draft<std::byte>(100);
    fill_pattern(draft.bytes(), 1);
    draft.set(pattern_key, 2);

    sink->consume(out.sealed(std::move(draft)));

    EXPECT_EQ(context.counters["bytes"], 100U);
}

TEST(Pass, HandsOnTheVeryPayload) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("pass", {}, context);
    const Payload payload = out.text("hello");

    processor->process(payload, out);

    ASSERT_EQ(out.emitted.size(), 1U);
    EXPECT_EQ(out.emitted[0].body(), payload.body());
    EXPECT_TRUE(context.waits.empty());
}

TEST(Pass, WaitsAtEachPayloadIfToldTo) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("pass", params({{"delay", number(3)}}), context);

    processor->process(out.text("a"), out);
    processor->process(out.text("b"), out);

    EXPECT_EQ(context.waits.size(), 2U);
}

TEST(Vector, CountsOnThroughItsPayloads) {
    FakeContext context;
    FakeOutput out;
    const auto source =
        make_builtin<Source>("vector", params({{"elements", number(3)}, {"count", number(2)}}), context);

    produce_all(*source, out);

    ASSERT_EQ(out.emitted.size(), 2U);
    EXPECT_THAT(out.emitted[0].view<double>(), testing::ElementsAre(0, 1, 2));
    EXPECT_THAT(out.emitted[1].view<double>(), testing::ElementsAre(3, 4, 5));
}

TEST(Affine, ComputesEitherPrecisionAndKeepsTheShape) {
    FakeContext context;
    FakeOutput out;
    const auto processor =
        make_builtin<Processor>("affine", params({{"a", number(2)}, {"b", ParamValue{0.5}}}), context);

    processor->process(out.vector<double>({1, 2, 3, 4}, Shape{2, 2}), out);
    processor->process(out.vector<float>({5, 6}), out);

    EXPECT_THAT(out.emitted[0].view<double>(), testing::ElementsAre(2.5, 4.5, 6.5, 8.5));
    EXPECT_EQ(out.emitted[0].shape(), (Shape{2, 2}));
    EXPECT_THAT(out.emitted[1].view<float>(), testing::ElementsAre(10.5F, 12.5F));
}

TEST(Affine, CountsPayloadsWithoutNumbersAndGoesOn) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("affine", {}, context);

    processor->process(out.text("no numbers"), out);
    processor->process(out.vector<std::uint16_t>({7}), out);
    processor->finish(out);

    ASSERT_EQ(out.emitted.size(), 1U);
    EXPECT_THAT(out.emitted[0].view<float>(), testing::ElementsAre(7.0F));
    EXPECT_EQ(context.counters["malformed"], 1U);
    EXPECT_THAT(context.logger.messages(),
                testing::ElementsAre("Malformed payload 0 of rank 1: its dtype is text, not a type of numbers",
                                     "Dropped 1 malformed record (first at payload 0 of rank 1)"));
}

TEST(Affine, EndsTheRunAtPayloadsWithoutNumbersIfAsked) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("affine", params({{"strict", ParamValue{true}}}), context);

    EXPECT_THROW(processor->process(out.text("no numbers"), out), Error);
}

TEST(Affine, KeepsTheMetadata) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("affine", {}, context);
    auto draft = out.draft<double>(1);
    draft.set("place", "here");

    processor->process(out.sealed(std::move(draft)), out);

    EXPECT_EQ(out.emitted[0].metadata().string("place"), "here");
}

}  // namespace
}  // namespace penstock
