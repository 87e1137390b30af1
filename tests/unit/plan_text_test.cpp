#include <string>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <penstock/plan.hpp>

#include "plan/describe.hpp"
#include "plan/draw.hpp"
#include "plan/graph.hpp"
#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Plan planned(const PipelineSpec& spec) {
    return make_plan(spec, sample_registry());
}

TEST(Drawing, ShowsFanOutAndFanIn) {
    EXPECT_EQ(draw_ascii(planned(diamond())),
              "source (any_source)\n"
              "  -------------------------+--+\n"
              "                           |  |\n"
              "left x2 (pass)             |  |\n"
              "  <-- source, balance -----+  |\n"
              "  -------------------------+  |\n"
              "                           |  |\n"
              "right (pass)               |  |\n"
              "  <-- source, hash by id --|--+\n"
              "  -------------------------|--+\n"
              "                           |  |\n"
              "sink (eat)                 |  |\n"
              "  <-- left, balance -------+  |\n"
              "  <-- right, balance ---------+\n");
}

TEST(Drawing, PutsEveryStageBelowThoseThatFeedIt) {
    const auto spec = PipelineBuilder{"backwards"}
                          .stage(stage("last", "eat"))
                          .stage(stage("first", "any_source"))
                          .channel(channel("first", "last"))
                          .build();

    EXPECT_EQ(draw_ascii(planned(spec)),
              "first (any_source)\n"
              "  ---------------------+\n"
              "                       |\n"
              "last (eat)             |\n"
              "  <-- first, balance --+\n");
}

TEST(Drawing, ListsWhatIsTooWideToDraw) {
    PipelineBuilder builder{"wide"};
    builder.stage(stage("in", "any_source")).stage(stage("out", "eat", 3));
    for (int i = 0; i < 201; ++i) {
        builder.channel({.name = "c" + std::to_string(i), .from = "in", .to = "out"});
    }

    const auto text = draw_ascii(planned(builder.build()));

    EXPECT_THAT(text, testing::StartsWith("in -> out x3  balance\n"));
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 201);
}

TEST(Drawing, SpeaksGraphviz) {
    EXPECT_THAT(draw_dot(planned(diamond())),
                AllOf(testing::StartsWith("digraph \"diamond\" {\n"),
                      HasSubstr("\"left\" [shape=box, label=\"left x2\\npass\"];"),
                      HasSubstr("\"source\" -> \"right\" [label=\"hash by id\"];"), testing::EndsWith("}\n")));
}

TEST(Description, TellsWhoRunsWhere) {
    const auto text = describe(planned(diamond()));

    EXPECT_THAT(text,
                AllOf(HasSubstr("pipeline diamond: 4 stages, 4 channels, 6 processes\n"),
                      HasSubstr("0     coordinator\n"), HasSubstr("3     left         1         pass        cpu\n"),
                      HasSubstr("64 payloads, 64 MiB  block     direct    auto: shm between processes of one node, "
                                "else ucx or ofi where they work, else mpi")));
}

TEST(Description, TakesOneLineForManyInstances) {
    auto spec = diamond();
    spec.stages[1].instances = 40;

    EXPECT_THAT(describe(planned(spec)), HasSubstr("2-41  left         0-39      pass        cpu\n"));
}

TEST(Drawing, SaysTheModeOfAChannelWhereItIsNotTheUsualOne) {
    auto spec = diamond();
    spec.channels[1].dispatch = Dispatch::central;
    spec.channels[1].by = PassBy::value;
    const auto plan = planned(spec);

    EXPECT_THAT(draw_ascii(plan), AllOf(HasSubstr("  <-- source, balance --"),
                                        HasSubstr("  <-- source, hash by id, central, by value --"),
                                        HasSubstr("  <-- left, balance --")));
    EXPECT_THAT(draw_dot(plan), HasSubstr("[label=\"hash by id, central, by value\"]"));
    EXPECT_THAT(describe(plan), HasSubstr("block     central, by value  auto"));
    EXPECT_EQ(nlohmann::json::parse(plan_json(plan))["channels"][1]["by"], "value");
}

TEST(Drawing, SaysWhatAChannelKeepsOut) {
    auto spec = diamond();
    spec.channels[0].filter = "kind == \"x\"";
    spec.channels[0].sample = 10;
    const auto plan = planned(spec);

    EXPECT_THAT(draw_ascii(plan), HasSubstr(R"(  <-- source, balance, if kind == \"x\", 1 of 10 )"));
    EXPECT_EQ(nlohmann::json::parse(plan_json(plan))["channels"][0]["sample"], 10);
}

TEST(PlanJson, SaysWhatThePlanSays) {
    const auto json = nlohmann::json::parse(plan_json(planned(diamond())));

    EXPECT_EQ(json["pipeline"], "diamond");
    EXPECT_EQ(json["processes"], 6);
    EXPECT_EQ(json["stages"][1]["instances"], 2);
    EXPECT_EQ(json["stages"][1]["inputs"], nlohmann::json::array({"source-left"}));
    EXPECT_EQ(json["channels"][1]["key"], "id");
    EXPECT_EQ(json["channels"][0]["capacity"]["bytes"], 64U << 20U);
    EXPECT_EQ(json["ranks"][0]["stage"], "coordinator");
    EXPECT_EQ(
        json["ranks"][3],
        (nlohmann::json{{"rank", 3}, {"stage", "left"}, {"instance", 1}, {"operator", "pass"}, {"device", "cpu"}}));
    EXPECT_EQ(json["ranks"].size(), 6U);
}

TEST(GraphOrder, KeepsTheNumericalOrderWhereItIsFree) {
    constexpr std::array<Edge, 3> edges{Edge{3, 0}, Edge{0, 2}, Edge{3, 1}};

    EXPECT_THAT((Graph{4, edges}.topological_order()), ElementsAre(3, 0, 1, 2));
}

TEST(GraphCycles, AreReportedOncePerKnot) {
    constexpr std::array<Edge, 6> edges{Edge{0, 1}, Edge{1, 0}, Edge{1, 2}, Edge{2, 1}, Edge{3, 4}, Edge{4, 3}};

    EXPECT_THAT((Graph{5, edges}.cycles()), ElementsAre(ElementsAre(0, 1), ElementsAre(3, 4)));
}

}  // namespace
}  // namespace penstock
