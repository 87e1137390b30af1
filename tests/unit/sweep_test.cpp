#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_runtime.hpp"

namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using test::params;
using testing::ElementsAre;
using testing::HasSubstr;

ParamValue whole(std::int64_t value) {
    return ParamValue{value};
}

ParamValue axes(std::initializer_list<std::string> texts) {
    ParamValue::List list;
    for (const auto& text : texts) list.push_back(ParamValue{text});
    return ParamValue{std::move(list)};
}

class Sweep : public testing::Test {
protected:
    std::vector<Payload> run(const Params& given) {
        const auto source = make_builtin<Source>("sweep", given, context_);
        while (source->produce(out_)) continue;
        return std::exchange(out_.emitted, {});
    }
    /// All points one after another.
    std::vector<double> points(const Params& given) {
        std::vector<double> all;
        for (const auto& payload : run(given)) {
            const auto view = payload.view<double>();
            all.insert(all.end(), view.begin(), view.end());
        }
        return all;
    }
    std::string refusal(const ParamValue& given) {
        try {
            (void)run(params({{"axes", given}}));
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), Errc::invalid_input);
            return error.what();
        }
        return "it was taken";
    }

    FakeContext context_;
    FakeOutput out_;
};

TEST_F(Sweep, IncludesBothEndsOfARange) {
    EXPECT_THAT(points(params({{"axes", axes({"r=-1:1:5"})}})), ElementsAre(-1, -0.5, 0, 0.5, 1));
    EXPECT_THAT(points(params({{"axes", axes({"r=4:2:3"})}})), ElementsAre(4, 3, 2));
    EXPECT_THAT(points(params({{"axes", axes({"r=0.1:0.7:1"})}})), ElementsAre(0.1));

    const auto many = points(params({{"axes", axes({"r=0.1:0.7:1001"})}, {"batch", whole(100)}}));
    EXPECT_EQ(many.size(), 1001U);
    EXPECT_EQ(many.front(), 0.1);
    EXPECT_EQ(many.back(), 0.7);
    EXPECT_TRUE(std::ranges::is_sorted(many));
}

TEST_F(Sweep, ChangesTheLastAxisFastest) {
    const auto payloads = run(params({{"axes", axes({"a=1,2.5", "b=0:2:3"})}, {"batch", whole(4)}}));

    ASSERT_EQ(payloads.size(), 2U);
    EXPECT_THAT(payloads[0].view<double>(), ElementsAre(1, 0, 1, 1, 1, 2, 2.5, 0));
    EXPECT_THAT(payloads[1].view<double>(), ElementsAre(2.5, 1, 2.5, 2));
    EXPECT_EQ(payloads[1].shape(), (Shape{2, 2}));
    EXPECT_EQ(payloads[1].metadata().string("axes"), "a,b");
    EXPECT_EQ(payloads[1].metadata().integer("first"), 4);
    EXPECT_EQ(payloads[1].user_id(), 1U);
    EXPECT_EQ(context_.counters["points"], 6U);
}

TEST_F(Sweep, IsSharedByInstances) {
    const Params given = params({{"axes", axes({"a=0:9:10", "b=0:6:7"})}, {"batch", whole(3)}});
    const auto all = points(given);
    std::vector<double> shared(all.size());
    for (int instance = 0; instance < 4; ++instance) {
        context_.instance_number = instance;
        context_.instance_count = 4;
        for (const auto& payload : run(given)) {
            const auto first = static_cast<std::size_t>(payload.metadata().integer("first").value());
            std::ranges::copy(payload.view<double>(), shared.begin() + static_cast<std::ptrdiff_t>(2 * first));
        }
    }

    EXPECT_EQ(shared, all);
}

TEST_F(Sweep, RefusesAxesThatAreNone) {
    for (const char* text : {"", "r", "r=", "=1", "r=1:2", "r=1:2:3:4", "r=1:2:0", "r=1:2:1.5", "r=1:2:-1", "r=1,,2",
                             "r=1,", "r=nan", "r=inf:1:2", "r=1:x:2", "r s=1", "r,=1", "r=1:2:1e300", "r= 1"}) {
        EXPECT_THAT(refusal(axes({text})), HasSubstr("NAME=FROM:TO:STEPS")) << text;
    }
    EXPECT_THAT(refusal(ParamValue{ParamValue::List{ParamValue{1.0}}}), HasSubstr("not 1"));
    EXPECT_THAT(refusal(axes({std::string(65, 'n') + "=1"})), HasSubstr("letters"));
    EXPECT_THAT(refusal(axes({"a=1", "b=2", "a=3"})), HasSubstr("\"a\" twice"));
    EXPECT_THAT(refusal(ParamValue{ParamValue::List{}}), HasSubstr("1 to 32 of them, not 0"));
    EXPECT_THAT(refusal(axes({"a=0:1:1e8", "b=0:1:1e8"})), HasSubstr("more than 2^53 points"));
}

TEST_F(Sweep, StopsWithTheRun) {
    context_.stopping = true;

    EXPECT_TRUE(run(params({{"axes", axes({"a=0:9:10"})}, {"interval", whole(1)}})).empty());
}

class LogisticMapOperator : public testing::Test {
protected:
    void start(const Params& given) { processor_ = make_builtin<Processor>("logistic_map", given, context_); }
    void process(const Payload& payload) { processor_->process(payload, out_); }
    [[nodiscard]] std::vector<double> row(std::size_t number) const {
        const auto view = out_.emitted.back().view<double>();
        const auto size = out_.emitted.back().shape()[1];
        const auto found = view.subspan(number * size, size);
        return {found.begin(), found.end()};
    }
    [[nodiscard]] std::string warning() const {
        return context_.logger.lines.empty() ? "" : context_.logger.lines.back().second;
    }

    FakeContext context_;
    FakeOutput out_;
    std::unique_ptr<Processor> processor_;
};

TEST_F(LogisticMapOperator, MakesARowOfPointExponentAndBins) {
    start(params({{"column", whole(1)}, {"bins", whole(4)}, {"steps", whole(50)}}));

    auto draft = out_.draft<double>(Shape{2, 2});
    std::ranges::copy(std::array{7.0, 1.5, 8.0, 3.2}, draft.begin());
    draft.set("axes", "n,r");
    process(out_.sealed(std::move(draft)));

    // r = 1.5 ends at x = 1/3, where the map has the slope 1/2; r = 3.2 alternates between two values.
    EXPECT_EQ(out_.emitted.back().shape(), (Shape{2, 7}));
    EXPECT_THAT(row(0), ElementsAre(7, 1.5, testing::DoubleNear(std::log(0.5), 1e-9), 0, 50, 0, 0));
    EXPECT_THAT(row(1), ElementsAre(8, 3.2, testing::DoubleNear(std::log(0.16) / 2, 1e-9), 0, 0, 25, 25));
    EXPECT_EQ(out_.emitted.back().metadata().string("axes"), "n,r");
    EXPECT_EQ(out_.emitted.back().metadata().integer("bins"), 4);
    EXPECT_EQ(out_.emitted.back().metadata().integer("steps"), 50);
    EXPECT_EQ(context_.counters["points"], 2U);
}

TEST_F(LogisticMapOperator, MakesNoRowsOfNoPoints) {
    start({});

    process(out_.vector<double>({}, Shape{0, 3}));

    EXPECT_EQ(out_.emitted.back().shape(), (Shape{0, 104}));
}

TEST_F(LogisticMapOperator, CountsWhatIsNoTableWithR) {
    start(params({{"column", whole(2)}}));

    process(out_.vector<float>({1, 2, 3}, Shape{1, 3}));
    EXPECT_THAT(warning(), HasSubstr("its dtype is f32, not f64"));
    process(out_.vector<double>({1, 2, 3}));
    EXPECT_THAT(warning(), HasSubstr("it has 1 dimensions; a table of points has 2"));
    process(out_.vector<double>({1, 2, 3, 4}, Shape{2, 2}));
    EXPECT_THAT(warning(), HasSubstr("its points have 2 columns"));

    EXPECT_EQ(context_.counters["malformed"], 3U);
    EXPECT_TRUE(out_.emitted.empty());
}

}  // namespace
}  // namespace penstock
