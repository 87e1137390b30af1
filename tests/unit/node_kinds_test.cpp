#include "plan/node_kinds.hpp"

#include <gmock/gmock.h>

#include "plan/describe.hpp"
#include "unit/error_of.hpp"
#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

/// in -> a -> b -> c -> out, where the stages in between have two instances and these placements.
[[nodiscard]] PipelineSpec spec_of(const StagePlacement& a, const StagePlacement& b, const StagePlacement& c,
                                   const StagePlacement& in = {}, const StagePlacement& out = {}) {
    PipelineBuilder builder{"kinds"};
    const std::vector<std::pair<std::string, StagePlacement>> stages{
        {"in", in}, {"a", a}, {"b", b}, {"c", c}, {"out", out}};
    for (std::size_t i = 0; i < stages.size(); ++i) {
        auto each = stage(stages[i].first, i == 0 ? "any_source" : i == 4 ? "eat" : "pass", i == 0 || i == 4 ? 1 : 2);
        each.placement = stages[i].second;
        builder.stage(each);
        if (i > 0) builder.channel(channel(stages[i - 1].first, stages[i].first));
    }
    return builder.build();
}

[[nodiscard]] Plan plan_of(const PipelineSpec& spec) {
    return make_plan(spec, sample_registry());
}

[[nodiscard]] std::vector<std::string> names_of(const Plan& plan) {
    std::vector<std::string> names;
    for (const PlannedStage& stage : plan.stages) names.push_back(stage.name);
    return names;
}

const StagePlacement gpu = StagePlacement{}.on("gpu");

TEST(NodeKinds, LeaveAPipelineInItsOrderThatAsksForOneKind) {
    EXPECT_THAT(names_of(plan_of(spec_of({}, {}, {}))), ElementsAre("in", "a", "b", "c", "out"));
    EXPECT_THAT(names_of(plan_of(spec_of(gpu, gpu, gpu, gpu, gpu))), ElementsAre("in", "a", "b", "c", "out"));
    EXPECT_EQ(parts_by_kind(plan_of(spec_of({}, {}, {}))).size(), 1U);
    EXPECT_EQ(parts_by_kind(plan_of(spec_of(gpu, gpu, gpu, gpu, gpu))).at(0).kind.constraint, "gpu");
}

TEST(NodeKinds, BringTheStagesOfAKindTogether) {
    const Plan plan = plan_of(spec_of(gpu, {}, gpu));

    EXPECT_THAT(names_of(plan), ElementsAre("in", "b", "out", "a", "c"));
    EXPECT_EQ(plan.label(2), "b.0");
    EXPECT_EQ(plan.label(8), "c.1");
    const auto parts = parts_by_kind(plan);
    ASSERT_EQ(parts.size(), 2U);
    EXPECT_EQ(parts[0].kind, NodeKind{});
    EXPECT_EQ(parts[0].ranks, 5U) << "with the coordinator";
    EXPECT_EQ(parts[1].first_rank, 5U);
    EXPECT_EQ(parts[1].ranks, 4U);
    EXPECT_THAT(parts[1].stages, ElementsAre(3, 4));
}

TEST(NodeKinds, LeaveTheChannelsBetweenTheirStages) {
    const Plan plan = plan_of(spec_of(gpu, {}, gpu));

    for (std::size_t i = 0; i < plan.channels.size(); ++i) {
        const PlannedChannel& channel = plan.channels[i];
        EXPECT_EQ(plan.stages[channel.from].name + "-" + plan.stages[channel.to].name, channel.name);
        EXPECT_THAT(plan.stages[channel.from].outputs, ElementsAre(i));
        EXPECT_THAT(plan.stages[channel.to].inputs, ElementsAre(i));
    }
}

TEST(NodeKinds, PutTheCoordinatorWhereTheFirstStageIsIfAllSayWhere) {
    const StagePlacement big{.partition = "big"};
    const auto parts = parts_by_kind(plan_of(spec_of(big, gpu, big, gpu, gpu)));

    ASSERT_EQ(parts.size(), 2U);
    EXPECT_EQ(parts[0].kind.constraint, "gpu");
    EXPECT_EQ(parts[0].ranks, 5U);
    EXPECT_EQ(parts[1].kind.partition, "big");
}

TEST(NodeKinds, AreThoseOfTheStageThatAnotherIsWith) {
    const Plan plan = plan_of(spec_of(StagePlacement::with("b"), StagePlacement::with("c"), gpu));

    EXPECT_THAT(names_of(plan), ElementsAre("in", "out", "a", "b", "c"));
    EXPECT_EQ(parts_by_kind(plan).at(1).ranks, 6U);
}

TEST(NodeKinds, AreNotForAStageThatIsWithAnother) {
    const auto error =
        error_of([] { static_cast<void>(plan_of(spec_of(StagePlacement::with("b").on("gpu"), gpu, {}))); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("a stage \"with\" another is on the nodes of that one"));
}

TEST(NodeKinds, AreShown) {
    const Plan plan =
        plan_of(spec_of({.constraint = "gpu", .partition = "big"}, {}, StagePlacement::on_each_node(1).on("gpu")));

    EXPECT_THAT(describe(plan),
                AllOf(HasSubstr("  constraint gpu, partition big\n"), HasSubstr("  1 per node, constraint gpu\n")));
    EXPECT_THAT(plan_json(plan), HasSubstr("\"constraint\": \"gpu\""));
}

}  // namespace
}  // namespace penstock
