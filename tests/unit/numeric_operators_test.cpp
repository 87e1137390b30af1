#include <cmath>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/processor_test.hpp"

namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using test::number;
using test::params;
using test::text;
using test::whole;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

ParamValue list(std::initializer_list<double> numbers) {
    ParamValue::List values(numbers.size());
    std::ranges::transform(numbers, values.begin(), number);
    return ParamValue{std::move(values)};
}

class NumericOperator : public test::ProcessorTest {
protected:
    [[nodiscard]] std::string warning() const {
        return context_.logger.lines.empty() ? "" : context_.logger.lines.front().second;
    }
};

using Square = NumericOperator;

TEST_F(Square, SquaresIntegersInTheNearestFloatingType) {
    start("square");

    process(out_.vector<std::uint16_t>({3, 65535}, Shape{1, 2}));
    EXPECT_THAT(last().view<float>(), ElementsAre(9.0F, 65535.0F * 65535.0F));
    EXPECT_EQ(last().shape(), (Shape{1, 2}));

    process(out_.vector<std::int64_t>({-3}));
    EXPECT_THAT(last().view<double>(), ElementsAre(9.0));
}

using Normalize = NumericOperator;

TEST_F(Normalize, HasZeroMeanAndUnitVarianceByItself) {
    start("normalize");

    process(out_.vector<double>({1, 3, 1, 3, not_a_number}));

    const auto y = last().view<double>();
    EXPECT_THAT(y.first(4), ElementsAre(-1, 1, -1, 1));
    EXPECT_TRUE(std::isnan(y[4]));
}

TEST_F(Normalize, MakesZerosOfEqualElements) {
    start("normalize");

    process(out_.vector<float>({7, 7, 7}));
    EXPECT_THAT(last().view<float>(), ElementsAre(0, 0, 0));

    process(out_.vector<float>({}));
    EXPECT_EQ(last().size_bytes(), 0U);
}

TEST_F(Normalize, StretchesTheRange) {
    start("normalize", params({{"mode", text("range")}, {"low", number(-1)}, {"high", number(1)}}));

    process(out_.vector<std::uint8_t>({10, 20, 30}));
    EXPECT_THAT(last().view<float>(), ElementsAre(FloatNear(-1, 1e-6F), FloatNear(0, 1e-6F), FloatNear(1, 1e-6F)));

    process(out_.vector<double>({5}));
    EXPECT_THAT(last().view<double>(), ElementsAre(-1));
}

TEST_F(Normalize, Divides) {
    start("normalize", params({{"mode", text("divide")}, {"divisor", number(4)}}));

    process(out_.vector<double>({2, infinity}));

    EXPECT_THAT(last().view<double>(), ElementsAre(0.5, infinity));
}

TEST_F(Normalize, TakesMeanAndDeviationOfEachChannel) {
    start("normalize", params({{"mean", list({1, 10})}, {"std", list({2, 5})}}));

    process(out_.vector<double>({1, 10, 3, 20, 5, 0}, Shape{3, 2}));
    EXPECT_THAT(last().view<double>(), ElementsAre(0, 0, 1, 2, 2, -2));

    process(out_.vector<double>({1, 2, 3}));
    EXPECT_EQ(counted("malformed"), 1U);
    EXPECT_THAT(warning(), HasSubstr("it has 3 channels, \"mean\" and \"std\" have 2 and 2"));
}

TEST_F(Normalize, TakesOneMeanForAllChannels) {
    start("normalize", params({{"mean", list({1})}, {"std", list({2})}}));

    std::vector<float> many(5000, 3.0F);
    process(out_.vector<float>(many, Shape{50, 100}));

    EXPECT_THAT(last().view<float>(), testing::Each(1.0F));
}

TEST_F(Normalize, RefusesParametersThatDoNotFit) {
    EXPECT_THAT(refusal("normalize", params({{"mean", list({1})}})), HasSubstr("belong together"));
    EXPECT_THAT(refusal("normalize", params({{"mean", list({1})}, {"std", list({0})}})), HasSubstr("cannot be 0"));
    EXPECT_THAT(refusal("normalize", params({{"divisor", number(0)}})), HasSubstr("cannot be 0"));
    EXPECT_THAT(refusal("normalize", params({{"mode", text("range")}, {"mean", list({1})}, {"std", list({1})}})),
                HasSubstr("need \"mode\": \"standard\""));
    EXPECT_THAT(refusal("normalize", params({{"mean", ParamValue{ParamValue::List{ParamValue{true}}}}})),
                HasSubstr("\"mean\" must be a list of finite numbers"));
}

using StatisticsOperator = NumericOperator;

TEST_F(StatisticsOperator, EmitsSixValuesAndTheSameAsMetadata) {
    start("statistics");

    process(out_.vector<double>({1, 2, 3, 6, infinity}));

    EXPECT_THAT(last().view<double>(), ElementsAre(4, 1, 1, 6, 3, DoubleNear(3.5, 1e-12)));
    EXPECT_EQ(last().metadata().integer("count"), 4);
    EXPECT_EQ(last().metadata().number("mean"), 3.0);
    EXPECT_EQ(counted("non_finite"), 1U);
}

TEST_F(StatisticsOperator, OfNothingAreNotNumbers) {
    start("statistics");

    process(out_.vector<float>({}));

    const auto values = last().view<double>();
    EXPECT_EQ(values[0], 0);
    EXPECT_TRUE(std::isnan(values[2]) && std::isnan(values[3]) && std::isnan(values[4]) && std::isnan(values[5]));
    EXPECT_EQ(last().metadata().number("mean"), std::nullopt);
}

TEST_F(StatisticsOperator, EmitALineIfAsked) {
    start("statistics", params({{"emit", text("csv")}}));

    process(out_.vector<std::int32_t>({2, 4}));

    EXPECT_EQ(last().text(), "0,2,0,2,4,3,1");
    EXPECT_EQ(last().format(), Format::csv);
}

TEST_F(StatisticsOperator, EmitACopyWithThemIfAsked) {
    start("statistics", params({{"emit", text("copy")}}));
    auto draft = out_.draft<std::uint8_t>(Shape{1, 2});
    std::ranges::copy(std::array<std::uint8_t, 2>{2, 4}, draft.begin());
    draft.set("mean", 77);
    draft.set("place", "here");

    process(out_.sealed(std::move(draft)));

    EXPECT_THAT(last().view<std::uint8_t>(), ElementsAre(2, 4));
    EXPECT_EQ(last().shape(), (Shape{1, 2}));
    EXPECT_EQ(last().metadata().number("mean"), 3.0);  // its own value is found first
    EXPECT_EQ(last().metadata().string("place"), "here");
}

using HistogramOperator = NumericOperator;

TEST_F(HistogramOperator, CountsEachPayload) {
    start("histogram", params({{"bins", whole(2)}, {"low", number(0)}, {"high", number(10)}}));

    process(out_.vector<std::uint8_t>({0, 4, 5, 10, 11}));
    process(out_.vector<double>({-1, 1, not_a_number}));

    EXPECT_THAT(out_.emitted[0].view<std::uint64_t>(), ElementsAre(2, 2));
    EXPECT_EQ(out_.emitted[0].metadata().integer("above"), 1);
    EXPECT_THAT(out_.emitted[1].view<std::uint64_t>(), ElementsAre(1, 0));
    EXPECT_EQ(out_.emitted[1].metadata().integer("below"), 1);
    EXPECT_EQ(out_.emitted[1].metadata().integer("non_finite"), 1);
    EXPECT_EQ(counted("non_finite"), 1U);
}

TEST_F(HistogramOperator, AccumulatesUntilTheEndIfAsked) {
    start("histogram",
          params({{"bins", whole(2)}, {"low", number(0)}, {"high", number(1)}, {"accumulate", ParamValue{true}}}));

    process(out_.vector<double>({0.1}));
    process(out_.vector<float>({0.9F, 0.2F}));
    EXPECT_TRUE(out_.emitted.empty());
    finish();

    EXPECT_THAT(last().view<std::uint64_t>(), ElementsAre(2, 1));
    EXPECT_EQ(last().metadata().integer("payloads"), 2);
}

TEST_F(HistogramOperator, OfNoPayloadsIsEmpty) {
    start("histogram", params({{"bins", whole(1)},
                               {"low", number(0)},
                               {"high", number(1)},
                               {"accumulate", ParamValue{true}},
                               {"emit", text("csv")}}));

    finish();

    EXPECT_EQ(last().text(), "-inf,0,0\n0,1,0\n1,inf,0");
}

TEST_F(HistogramOperator, RefusesARangeWithoutWidth) {
    EXPECT_THAT(refusal("histogram", params({{"low", number(1)}, {"high", number(1)}})), HasSubstr("less than"));
}

using Threshold = NumericOperator;

TEST_F(Threshold, SuppressesWhatDoesNotReachTheLevel) {
    start("threshold", params({{"level", number(2.5)}}));

    process(out_.vector<double>({1, 2.5, 3, not_a_number}));

    EXPECT_THAT(last().view<double>(), ElementsAre(0, 2.5, 3, 0));
    EXPECT_EQ(last().metadata().integer("hits"), 2);
    EXPECT_EQ(counted("hits"), 2U);
}

TEST_F(Threshold, MakesAMask) {
    start("threshold", params({{"level", number(3)}, {"mode", text("mask")}}));

    process(out_.vector<std::uint16_t>({1, 3, 65535}, Shape{3, 1}));

    EXPECT_THAT(last().view<std::uint8_t>(), ElementsAre(0, 1, 1));
    EXPECT_EQ(last().shape(), (Shape{3, 1}));
}

TEST_F(Threshold, ListsTheHits) {
    start("threshold", params({{"level", number(3)}, {"mode", text("list")}}));

    process(out_.vector<float>({9, 1, 4}));
    EXPECT_EQ(last().shape(), (Shape{2, 2}));
    EXPECT_THAT(last().view<double>(), ElementsAre(0, 9, 2, 4));

    process(out_.vector<float>({1}));
    EXPECT_EQ(last().shape(), (Shape{0, 2}));
}

TEST_F(Threshold, SelectsPayloadsWithEnoughHitsByReference) {
    start("threshold", params({{"level", number(3)}, {"mode", text("select")}, {"least_hits", whole(2)}}));
    const Payload enough = out_.vector<float>({9, 1, 4});

    process(enough);
    process(out_.vector<float>({9, 1, 1}));

    ASSERT_EQ(out_.emitted.size(), 1U);
    EXPECT_EQ(last().body(), enough.body());
    EXPECT_EQ(counted("rejected"), 1U);
}

using Downsample = NumericOperator;

TEST_F(Downsample, TakesTheMeanOfCellsAlsoAtTheEdge) {
    start("downsample");

    process(out_.vector<std::uint8_t>({1, 3, 5, 3, 5, 7}, Shape{2, 3}));

    EXPECT_THAT(last().view<float>(), ElementsAre(3, 6));
    EXPECT_EQ(last().shape(), (Shape{1, 2}));
}

TEST_F(Downsample, KeepsTheDtypeIfItPicksElements) {
    start("downsample", params({{"mode", text("stride")}, {"factor", list({1, 2})}}));

    process(out_.vector<std::int16_t>({1, 2, 3, 4, 5, 6}, Shape{2, 3}));
    EXPECT_THAT(last().view<std::int16_t>(), ElementsAre(1, 3, 4, 6));

    process(out_.vector<std::int16_t>({1, 2, 3}));
    EXPECT_THAT(warning(), HasSubstr("it has 1 dimensions, \"factor\" has 2"));
}

TEST_F(Downsample, RefusesFactorsThatAreNone) {
    EXPECT_THAT(refusal("downsample", params({{"factor", list({0})}})), HasSubstr("whole numbers from 1 on, not 0"));
    EXPECT_THAT(refusal("downsample", params({{"factor", list({1.5})}})), HasSubstr("not 1.5"));
    EXPECT_THAT(refusal("downsample", params({{"factor", list({})}})), HasSubstr("at least one"));
}

using ImagePreprocess = NumericOperator;

TEST_F(ImagePreprocess, MakesWhatNetworksForImageNetTake) {
    start("image_preprocess");

    process(out_.vector(std::vector<std::uint8_t>(300 * 400 * 3, 255), Shape{300, 400, 3}));
    EXPECT_EQ(last().shape(), (Shape{224, 224, 3}));
    EXPECT_NEAR(last().view<float>()[0], (1 - 0.485) / 0.229, 1e-5);
    EXPECT_NEAR(last().view<float>()[224 * 224 * 3 - 1], (1 - 0.406) / 0.225, 1e-5);

    process(out_.vector(std::vector<float>(2 * 10 * 20 * 3, 0), Shape{2, 10, 20, 3}));
    EXPECT_EQ(last().shape(), (Shape{2, 224, 224, 3}));
    EXPECT_NEAR(last().view<float>()[1], -0.456 / 0.224, 1e-5);
}

TEST_F(ImagePreprocess, CutsOutTheCentreAndMayLeaveTheRest) {
    start(
        "image_preprocess",
        params(
            {{"resize", whole(0)}, {"crop", whole(2)}, {"scale", number(1)}, {"mean", list({0})}, {"std", list({1})}}));
    std::vector<float> image(16);
    std::iota(image.begin(), image.end(), 0.0F);

    process(out_.vector(image, Shape{4, 4, 1}));

    EXPECT_THAT(last().view<float>(), ElementsAre(5, 6, 9, 10));
}

TEST_F(ImagePreprocess, CountsWhatIsNoImage) {
    start("image_preprocess", params({{"resize", whole(0)}}));

    process(out_.vector(std::vector<double>(12), Shape{2, 2, 3}));
    process(out_.vector(std::vector<float>(12), Shape{12}));
    process(out_.vector(std::vector<float>(12), Shape{2, 2, 3}));
    process(out_.vector(std::vector<float>(8), Shape{2, 2, 2}));
    process(out_.vector(std::vector<float>{}, Shape{0, 2, 3}));

    EXPECT_TRUE(out_.emitted.empty());
    EXPECT_THAT(
        context_.logger.messages(),
        ElementsAre(HasSubstr("its dtype is f64, not u8 or f32"), HasSubstr("it has 1 dimensions"),
                    HasSubstr("smaller than \"crop\", 224"), HasSubstr("it has 2 channels"), HasSubstr("no pixels")));
}

class Calibrate : public NumericOperator {
protected:
    Payload frame(const char* kind, std::initializer_list<std::uint16_t> pixels) {
        auto draft = out_.draft<std::uint16_t>(pixels.size());
        std::ranges::copy(pixels, draft.begin());
        draft.set("kind", kind);
        return out_.sealed(std::move(draft));
    }
};

TEST_F(Calibrate, SubtractsThePedestalAndDividesByTheGain) {
    start("calibrate");

    process(frame("dark", {10, 20, 30}));
    process(frame("dark", {12, 22, 30}));
    process(frame("flat", {111, 321, 30}));  // light of 100 and 300; the third pixel is dead
    process(frame("data", {61, 171, 99}));

    ASSERT_EQ(out_.emitted.size(), 1U);
    const float mean_light = (100.0F + 300.0F) / 3;
    EXPECT_THAT(last().view<float>(),
                ElementsAre(FloatNear(50 * mean_light / 100, 1e-4F), FloatNear(150 * mean_light / 300, 1e-4F), 0.0F));
    EXPECT_EQ(counted("dark"), 2U);
    EXPECT_EQ(counted("flat"), 1U);
}

TEST_F(Calibrate, HasNoGainsWithoutFlatFrames) {
    start("calibrate");

    process(frame("dark", {10, 20}));
    process(frame("data", {11, 25}));

    EXPECT_THAT(last().view<float>(), ElementsAre(1, 5));
}

TEST_F(Calibrate, CountsFramesItCannotCorrect) {
    start("calibrate");

    process(frame("data", {1}));
    process(frame("dark", {1, 2}));
    process(frame("data", {1}));

    EXPECT_TRUE(out_.emitted.empty());
    EXPECT_THAT(
        context_.logger.messages(),
        ElementsAre(HasSubstr("no dark frame"), HasSubstr("its shape is [1], that of the first frame was [2]")));
}

std::vector<Payload> frames_of(const Params& given, FakeContext& context, FakeOutput& out) {
    const auto source = make_builtin<Source>("detector", given, context);
    while (source->produce(out)) continue;
    return std::exchange(out.emitted, {});
}

TEST(Detector, MakesDarkThenFlatThenDataFrames) {
    FakeContext context;
    FakeOutput out;

    const auto frames = frames_of(params({{"rows", whole(4)},
                                          {"columns", whole(5)},
                                          {"frames", whole(3)},
                                          {"dark_frames", whole(1)},
                                          {"flat_frames", whole(2)}}),
                                  context, out);

    std::vector<std::string> kinds;
    for (const auto& frame : frames) kinds.emplace_back(frame.metadata().string("kind").value());
    EXPECT_THAT(kinds, ElementsAre("dark", "flat", "flat", "data", "data", "data"));
    EXPECT_EQ(frames[0].shape(), (Shape{4, 5}));
    EXPECT_EQ(frames[5].user_id(), 5U);
}

TEST(Detector, MakesTheSameFramesHoweverManyInstancesShareThem) {
    const Params given = params({{"frames", whole(20)}, {"rows", whole(16)}, {"columns", whole(16)}});
    FakeContext alone;
    FakeOutput out;
    const auto all = frames_of(given, alone, out);
    std::uint64_t events = 0;
    for (int instance = 0; instance < 3; ++instance) {
        FakeContext context;
        context.instance_number = instance;
        context.instance_count = 3;
        for (const auto& frame : frames_of(given, context, out)) {
            const auto number = static_cast<std::size_t>(frame.metadata().integer("frame").value());
            EXPECT_TRUE(std::ranges::equal(frame.bytes(), all[number].bytes())) << number;
        }
        events += context.counters["events"];
    }

    EXPECT_EQ(all.size(), 52U);
    EXPECT_EQ(events, alone.counters["events"]);
    EXPECT_GT(events, 0U);
}

TEST(Detector, HidesEventsThatCalibrationFinds) {
    for (const std::int64_t seed : {1, 2, 3}) {
        FakeContext context;
        FakeOutput out;
        const auto frames = frames_of(params({{"seed", whole(seed)}, {"frames", whole(30)}}), context, out);
        const auto calibrate = make_builtin<Processor>("calibrate", {}, context);
        const auto threshold =
            make_builtin<Processor>("threshold", params({{"level", number(200)}, {"mode", text("list")}}), context);

        for (const auto& frame : frames) calibrate->process(frame, out);
        for (const auto& frame : std::exchange(out.emitted, {})) {
            threshold->process(frame, out);
            EXPECT_EQ(out.emitted.back().metadata().integer("hits"), frame.metadata().integer("events"));
        }

        EXPECT_EQ(context.counters["hits"], context.counters["events"]);
        out.emitted.clear();
    }
}

TEST(Detector, RefusesMoreEventsThanHaveRoom) {
    FakeContext context;

    EXPECT_THROW((void)make_builtin<Source>("detector", params({{"rows", whole(1)}, {"columns", whole(3)}}), context),
                 Error);
}

class StrictOperator : public testing::TestWithParam<const char*> {};

TEST_P(StrictOperator, EndsTheRunAtAMalformedPayload) {
    FakeContext context;
    FakeOutput out;
    Params given = params({{"strict", ParamValue{true}}});
    const Registry registry = Registry::with_builtins();
    for (const auto& param : registry.find(GetParam())->params) {
        if (!param.fallback) given.set(param.name, ParamValue{param.name == "high" ? 1.0 : 0.0});
    }
    const auto processor = make_builtin<Processor>(GetParam(), given, context);

    try {
        processor->process(out.text("no numbers"), out);
        FAIL() << "it went on";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::invalid_input);
        EXPECT_THAT(error.what(), HasSubstr("payload 0 of rank 1 is malformed: its dtype is text"));
    }
}

INSTANTIATE_TEST_SUITE_P(Numeric, StrictOperator,
                         testing::Values("affine", "calibrate", "downsample", "histogram", "image_preprocess",
                                         "logistic_map", "normalize", "square", "statistics", "threshold"));

}  // namespace
}  // namespace penstock
