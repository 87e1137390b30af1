#include <string>

#include <gmock/gmock.h>

#include <penstock/error.hpp>
#include <penstock/spec.hpp>

#include "unit/error_of.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::HasSubstr;

PipelineSpec sample() {
    Params params;
    params.set("flag", ParamValue{true});
    params.set("ratio", ParamValue{2.0});
    params.set("list", ParamValue{ParamValue::List{{std::int64_t{1}}, {std::string{"\"two\"\n"}}}});
    return PipelineBuilder{"demo"}
        .stage({.name = "make",
                .operator_name = "records",
                .params = params,
                .env = {{"N", "1"}},
                .placement = StagePlacement::spread()})
        .stage({.name = "make.more",
                .operator_name = "scale",
                .instances = 3,
                .placement = StagePlacement::with("make"),
                .timeout = std::chrono::milliseconds{1500},
                .after = {"x", "y"}})
        .stage({.name = "eat", .operator_name = "csv_sink", .placement = StagePlacement::on_each_node(2)})
        .channel({.from = "make", .to = "make.more"})
        .channel({.name = "link",
                  .from = "make.more",
                  .to = "eat",
                  .route = Route::hash,
                  .key = "id",
                  .capacity = 7,
                  .capacity_bytes = 123,
                  .overflow = Overflow::error,
                  .dispatch = Dispatch::central,
                  .by = PassBy::value,
                  .transport = TransportKind::mpi,
                  .filter = "kind != \"a b\"",
                  .sample = 3})
        .build();
}

void expect_equal(const StageSpec& a, const StageSpec& b) {
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.operator_name, b.operator_name);
    EXPECT_EQ(a.params, b.params);
    EXPECT_EQ(a.instances, b.instances);
    EXPECT_EQ(a.threads, b.threads);
    EXPECT_EQ(a.morsel_kib, b.morsel_kib);
    EXPECT_EQ(a.target_utilization, b.target_utilization);
    EXPECT_EQ(a.park_idle, b.park_idle);
    EXPECT_EQ(a.device, b.device);
    EXPECT_EQ(a.placement, b.placement);
    EXPECT_EQ(a.timeout, b.timeout);
    EXPECT_EQ(a.after, b.after);
    EXPECT_EQ(a.env, b.env);
}

void expect_equal(const ChannelSpec& a, const ChannelSpec& b) {
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.from, b.from);
    EXPECT_EQ(a.to, b.to);
    EXPECT_EQ(a.route, b.route);
    EXPECT_EQ(a.key, b.key);
    EXPECT_EQ(a.capacity, b.capacity);
    EXPECT_EQ(a.capacity_bytes, b.capacity_bytes);
    EXPECT_EQ(a.overflow, b.overflow);
    EXPECT_EQ(a.dispatch, b.dispatch);
    EXPECT_EQ(a.by, b.by);
    EXPECT_EQ(a.filter, b.filter);
    EXPECT_EQ(a.sample, b.sample);
    EXPECT_EQ(a.transport, b.transport);
    EXPECT_EQ(a.compression, b.compression);
    EXPECT_EQ(a.checksum, b.checksum);
}

TEST(ToJson, IsReadBackAsTheSamePipeline) {
    const auto spec = sample();

    const auto again = parse_pipeline(to_json(spec));

    EXPECT_EQ(again.name, spec.name);
    ASSERT_EQ(again.stages.size(), spec.stages.size());
    for (std::size_t i = 0; i < spec.stages.size(); ++i) expect_equal(again.stages[i], spec.stages[i]);
    ASSERT_EQ(again.channels.size(), spec.channels.size());
    for (std::size_t i = 0; i < spec.channels.size(); ++i) expect_equal(again.channels[i], spec.channels[i]);
}

TEST(ToJson, KeepsNumbersApartFromIntegers) {
    EXPECT_THAT(to_json(sample()), HasSubstr("\"ratio\": 2.0"));
}

TEST(Setting, SetsAParameterFromJson) {
    auto spec = sample();

    apply_setting(spec, "make.ratio=0.5");
    apply_setting(spec, "make.count=12");
    apply_setting(spec, "make.flag=false");
    apply_setting(spec, "make.list=[1, 2]");

    const auto& params = spec.stages[0].params;
    EXPECT_EQ(params.get<double>("ratio"), 0.5);
    EXPECT_EQ(params.get<std::int64_t>("count"), 12);
    EXPECT_FALSE(params.get<bool>("flag"));
    EXPECT_EQ(params.get<ParamValue::List>("list"), (ParamValue::List{{std::int64_t{1}}, {std::int64_t{2}}}));
}

TEST(Setting, TakesWhatIsNoJsonAsAString) {
    auto spec = sample();

    apply_setting(spec, "eat.output=out=1.csv");
    apply_setting(spec, "eat.quoted=\"12\"");
    apply_setting(spec, "eat.empty=");

    EXPECT_EQ(spec.stages[2].params.get<std::string>("output"), "out=1.csv");
    EXPECT_EQ(spec.stages[2].params.get<std::string>("quoted"), "12");
    EXPECT_EQ(spec.stages[2].params.get<std::string>("empty"), "");
}

TEST(Setting, MeansTheLongestStageNameThatFits) {
    auto spec = sample();

    apply_setting(spec, "make.more.factor=2");
    apply_setting(spec, "make.factor=3");

    EXPECT_EQ(spec.stages[1].params.get<std::int64_t>("factor"), 2);
    EXPECT_EQ(spec.stages[0].params.get<std::int64_t>("factor"), 3);
}

TEST(Setting, SetsTheNumberOfInstances) {
    auto spec = sample();

    apply_setting(spec, "make.more.instances=8");

    EXPECT_EQ(spec.stages[1].instances, 8);
    EXPECT_FALSE(spec.stages[1].params.has("instances"));
}

TEST(Setting, RefusesABadNumberOfInstances) {
    auto spec = sample();

    for (const auto* setting :
         {"make.instances=0", "make.instances=x", "make.instances=100001", "make.instances=1.5"}) {
        EXPECT_THAT(error_of([&] { apply_setting(spec, setting); }).what(),
                    AllOf(HasSubstr("from 1 to 100000"), HasSubstr(setting)));
    }
    EXPECT_EQ(spec.stages[0].instances, 1);
}

TEST(Setting, RefusesAnotherForm) {
    auto spec = sample();

    for (const auto* setting : {"", "make", "make.x", "make=1", ".x=1", "make.=1", "=.x"}) {
        EXPECT_THAT(error_of([&] { apply_setting(spec, setting); }).what(), HasSubstr("write stage.param=value"))
            << setting;
    }
}

TEST(Setting, RefusesAnUnknownStageWithAdvice) {
    auto spec = sample();

    EXPECT_THAT(error_of([&] { apply_setting(spec, "maek.x=1"); }).what(),
                HasSubstr("no stage \"maek\"; did you mean \"make\"?"));
}

TEST(Setting, RefusesWhatNoParameterCanBe) {
    auto spec = sample();

    EXPECT_THAT(error_of([&] { apply_setting(spec, "make.x={}"); }).what(), HasSubstr("not an object"));
    EXPECT_THAT(error_of([&] { apply_setting(spec, "make.x=null"); }).what(), HasSubstr("not null"));
}

}  // namespace
}  // namespace penstock
