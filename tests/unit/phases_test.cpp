#include "plan/phases.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>
#include <penstock/plan.hpp>

#include "plan/describe.hpp"
#include "plan/draw.hpp"
#include "plan/results_reference.hpp"
#include "unit/error_of.hpp"
#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// Three phases of two stages: "b0" and "c0" are sources.
PipelineSpec three(std::vector<std::string> b_after, std::vector<std::string> c_after) {
    PipelineBuilder builder{"three"};
    for (const std::string name : {"a", "b", "c"}) {
        builder.stage(stage(name + "0", "any_source")).stage(stage(name + "1", "eat"));
        builder.channel(channel(name + "0", name + "1"));
    }
    auto spec = builder.build();
    spec.stages[2].after = std::move(b_after);
    spec.stages[4].after = std::move(c_after);
    return spec;
}

Chain chain(const PipelineSpec& spec, std::uint32_t processes = 0) {
    return make_chain(spec, sample_registry(), processes);
}

std::string chain_error(const PipelineSpec& spec) {
    const auto error = error_of([&] { static_cast<void>(chain(spec)); });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    return error.what();
}

std::vector<std::string> names(const Chain& made) {
    std::vector<std::string> all;
    for (const Plan& plan : made.phases) all.push_back(plan.phase->name);
    return all;
}

TEST(Phases, AreTheStagesThatChannelsJoinInTheOrderOfTheirNeeds) {
    const Chain made = chain(three({"c1"}, {}));

    EXPECT_THAT(names(made), ElementsAre("a0", "c0", "b0"));
    const Plan& last = made.phases[2];
    EXPECT_EQ(last.pipeline, "three");
    EXPECT_EQ(last.phase->number, 3U);
    EXPECT_EQ(last.phase->of, 3U);
    EXPECT_THAT(last.phase->after, ElementsAre("c0"));
    ASSERT_EQ(last.stages.size(), 2U);
    EXPECT_EQ(last.stages[0].first_rank, 1U);
    EXPECT_EQ(last.channels.size(), 1U);
    EXPECT_EQ(last.channels[0].from, 0);
    EXPECT_EQ(last.ranks(), 3U);
}

TEST(Phases, OfAPipelineWithoutAnyOrderAreOne) {
    const Chain made = chain(three({}, {}));

    ASSERT_EQ(made.phases.size(), 1U);
    EXPECT_FALSE(made.phases[0].phase);
    EXPECT_EQ(made.phases[0].ranks(), 7U);
}

TEST(Phases, NameThoseTheyWaitForOnceAndAllThatWereBefore) {
    auto spec = three({"a0"}, {"b0", "b1"});
    spec.stages[5].after = {"b0"};
    const Chain made = chain(spec);

    EXPECT_THAT(names(made), ElementsAre("a0", "b0", "c0"));
    EXPECT_THAT(made.phases[2].phase->after, ElementsAre("b0"));
    EXPECT_THAT(earlier_phases(made, made.phases[2]), ElementsAre("a0", "b0"));
    EXPECT_THAT(earlier_phases(made, made.phases[1]), ElementsAre("a0"));
    EXPECT_THAT(earlier_phases(made, made.phases[0]), IsEmpty());
}

TEST(Phases, FillTheJobEachForItself) {
    auto spec = three({"a0"}, {});
    spec.stages[1].instances = StageSpec::fill;
    spec.stages[3].instances = StageSpec::fill;
    const Chain made = chain(spec, 10);

    EXPECT_EQ(made.phases[0].ranks(), 10U);
    EXPECT_EQ(made.phases[1].ranks(), 10U);
    EXPECT_EQ(made.phases[2].ranks(), 3U);
    EXPECT_EQ(made.ranks(), 10U);
}

TEST(Phases, MayTogetherBeMoreThanOneLaunchCanHave) {
    auto spec = three({"a0"}, {});
    for (int i = 0; i < 6; ++i) {
        for (const std::string phase : {"a", "b"}) {
            spec.stages.push_back(stage(phase + std::to_string(i + 2), "eat", 100'000));
            spec.channels.push_back(channel(phase + "0", phase + std::to_string(i + 2)));
        }
    }
    EXPECT_EQ(chain(spec).ranks(), 600'003U);
}

TEST(Phases, AreFoundByTheirStages) {
    const Chain made = chain(three({"a0"}, {}));

    EXPECT_EQ(made.phase_of("b1").phase->name, "b0");
    EXPECT_THAT(error_of([&] { static_cast<void>(made.phase_of("b11")); }).what(), HasSubstr("did you mean \"b1\"?"));
}

TEST(Phases, AreNoSinglePlan) {
    const auto error = error_of([] { static_cast<void>(make_plan(three({"a0"}, {}), sample_registry())); });

    EXPECT_EQ(error.code(), Errc::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("pipeline \"three\" has phases"));
}

TEST(PhaseErrors, SuggestAStage) {
    auto spec = three({"a00"}, {});
    spec.stages[2].where = "p.json:4: /stages/2";

    EXPECT_EQ(chain_error(spec),
              "invalid input: p.json:4: /stages/2/after: unknown stage \"a00\"; did you mean \"a0\"?");
}

TEST(PhaseErrors, NameAStageAfterItsOwnPhase) {
    EXPECT_THAT(chain_error(three({"b1"}, {})),
                HasSubstr("stage \"b0\": stage \"b0\" cannot run after \"b1\": channels join them"));
    EXPECT_THAT(chain_error(three({"b0"}, {})), HasSubstr("stage \"b0\" cannot run after itself"));
}

TEST(PhaseErrors, NameAllPhasesThatWaitForEachOther) {
    auto spec = three({"a1"}, {"b1"});
    spec.stages[1].after = {"c0"};

    EXPECT_THAT(
        chain_error(spec),
        AllOf(HasSubstr("stage \"a1\": the phases wait for each other: \"a0\" before \"b0\" before \"c0\" before "
                        "\"a0\"; remove one \"after\""),
              Not(HasSubstr("problems"))));
}

TEST(PhaseErrors, RefuseToPlaceStagesBesideThoseOfAnotherTime) {
    auto spec = three({"a1"}, {});
    spec.stages[2].placement = StagePlacement::with("a0");
    EXPECT_THAT(chain_error(spec), HasSubstr("stage \"a0\" is of another phase"));

    spec.stages[2].after.clear();
    EXPECT_EQ(chain(spec).phases.size(), 1U);
}

TEST(PhaseErrors, ComeTogetherWithOthers) {
    auto spec = three({"nobody"}, {});
    spec.stages[0].operator_name = "any_sauce";

    EXPECT_THAT(chain_error(spec), AllOf(HasSubstr("2 problems"), HasSubstr("unknown operator \"any_sauce\""),
                                         HasSubstr("unknown stage \"nobody\"")));
}

/// The second phase has a source that is told where to read.
PipelineSpec reading(const ParamValue& input, std::vector<std::string> after = {"a1"}) {
    auto spec = three(std::move(after), {"b0"});
    spec.stages[2].operator_name = "read";
    spec.stages[2].where = "p.json:4: /stages/2";
    spec.stages[2].params.set("input", input);
    return spec;
}

std::string reading_error(const ParamValue& input, std::vector<std::string> after = {"a1"}) {
    Registry registry = sample_registry();
    registry.add({.name = "read",
                  .kind = OperatorKind::source,
                  .help = "Reads.",
                  .params = {{.name = "input", .kind = ParamKind::list, .help = "Files."}}},
                 Registry::Factory{});
    try {
        static_cast<void>(make_chain(reading(input, std::move(after)), registry));
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

ParamValue texts(const std::string& text) {
    return ParamValue{ParamValue::List{ParamValue{std::string{"plain"}}, ParamValue{text}}};
}

TEST(ResultsOfPhases, MayBeReadAfterThem) {
    EXPECT_EQ(reading_error(texts("{results:a0}/x.csv")), "");
    EXPECT_EQ(reading_error(texts("{results:a1}")), "");
    EXPECT_EQ(reading_error(texts("{result}/..")), "");
    EXPECT_EQ(reading_error(texts("../{results}")), "");
}

TEST(ResultsOfPhases, CannotBeReadBeforeOrDuringThem) {
    EXPECT_THAT(reading_error(texts("{results:b1}/x")),
                HasSubstr("p.json:4: /stages/2/params/input: \"{results:b1}/x\" names the results of "
                          "the stage's own phase"));
    EXPECT_THAT(reading_error(texts("{results:c1}/x")),
                HasSubstr("needs the phase of stage \"c1\" to have ended; write \"after\": [\"c1\"]"));
    EXPECT_THAT(reading_error(texts("{results:a1}/x"), {}), HasSubstr("write \"after\": [\"a1\"]"));
    EXPECT_THAT(reading_error(texts("{results:a3}/x")), HasSubstr("unknown stage \"a3\"; did you mean"));
}

TEST(ResultsOfPhases, AreWrittenInOneWay) {
    EXPECT_THAT(reading_error(texts("{results}/x")), HasSubstr("does not say whose results it means"));
    EXPECT_THAT(reading_error(texts("{results:}/x")), HasSubstr("write \"{results:STAGE}/FILE\""));
    EXPECT_THAT(reading_error(texts("{results:a1/x")), HasSubstr("write \"{results:STAGE}/FILE\""));
    EXPECT_THAT(reading_error(texts("{results:../a}/x")), HasSubstr("write \"{results:STAGE}/FILE\""));
    EXPECT_THAT(reading_error(texts("{results:a1}x")), HasSubstr("has no \"/\" behind"));
    EXPECT_THAT(reading_error(texts("{results:a1}/../../x")), HasSubstr("climbs out of the folder"));
    EXPECT_THAT(reading_error(texts("{results:a1}/x/..")), HasSubstr("climbs out of the folder"));
    EXPECT_THAT(reading_error(texts("./{results:a1}/x")), HasSubstr("in its middle"));
    EXPECT_THAT(reading_error(texts("{results:a1}/{results:a1}")), HasSubstr("twice"));
}

TEST(ResultsOfPhases, StandInThePlaceOfTheirStages) {
    Params params;
    params.set("one", {std::string{"{results:a1}/x.csv"}});
    params.set("many", texts("{results:b}"));
    params.set("number", {std::int64_t{3}});
    replace_results(params, [](std::string_view stage) { return "/runs/" + std::string{stage}; });

    EXPECT_EQ(params.get<std::string>("one"), "/runs/a1/x.csv");
    EXPECT_EQ(params.find("many")->text(), "[\"plain\", \"/runs/b\"]");
    EXPECT_EQ(params.get<std::int64_t>("number"), 3);
}

TEST(PhasesInText, AreOneBelowTheOther) {
    const Chain made = chain(three({"a0"}, {"a0", "b0"}));

    const auto text = describe(made, std::vector<std::vector<std::uint32_t>>(3));
    EXPECT_THAT(text, AllOf(HasSubstr("pipeline three, phase a0 (1 of 3): 2 stages"),
                            HasSubstr("pipeline three, phase c0 (3 of 3), after a0, b0: 2 stages, 1 channels, 3 ")));
    EXPECT_THAT(draw_ascii(made), AllOf(testing::StartsWith("phase a0 (1 of 3)\n\na0 (any_source)\n"),
                                        HasSubstr("\n\nphase b0 (2 of 3), after a0\n\nb0 (any_source)\n")));
    const auto dot = draw_dot(made);
    EXPECT_THAT(dot, AllOf(HasSubstr("compound=true"), HasSubstr("subgraph \"cluster_b0\" {"),
                           HasSubstr("\"a1\" -> \"b0\" [style=dashed, ltail=\"cluster_a0\", lhead=\"cluster_b0\"];")));
}

TEST(PhasesInJson, HaveAPlanEach) {
    Chain made = chain(three({"a0"}, {"b0"}));
    made.phases[1].phase->runs = {{"a0", "/runs/x"}};
    const auto json = nlohmann::json::parse(plan_json(made, std::vector<std::vector<std::uint32_t>>(3)));

    EXPECT_EQ(json["processes"], 3);
    ASSERT_EQ(json["phases"].size(), 3U);
    EXPECT_EQ(
        json["phases"][1]["phase"],
        nlohmann::json::parse(R"({"name": "b0", "number": 2, "of": 3, "after": ["a0"], "runs": {"a0": "/runs/x"}})"));
    EXPECT_EQ(json["phases"][1]["stages"][0]["name"], "b0");
}

}  // namespace
}  // namespace penstock
