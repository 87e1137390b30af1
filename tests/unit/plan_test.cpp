#include <string>
#include <vector>

#include <gmock/gmock.h>

#include <penstock/error.hpp>
#include <penstock/plan.hpp>

#include "codec/codec.hpp"
#include "unit/error_of.hpp"
#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

Plan plan(const PipelineSpec& spec) {
    return make_plan(spec, sample_registry());
}

Error plan_error(const PipelineSpec& spec) {
    return error_of([&] { static_cast<void>(plan(spec)); });
}

PipelineSpec line(const std::string& first, const std::string& second, const std::string& third) {
    return PipelineBuilder{"line"}
        .stage(stage("a", first))
        .stage(stage("b", second))
        .stage(stage("c", third))
        .channel(channel("a", "b"))
        .channel(channel("b", "c"))
        .build();
}

TEST(Plan, PlacesInstancesOnRanksInStageOrder) {
    const auto made = plan(diamond());

    EXPECT_EQ(made.ranks(), 6U);
    EXPECT_EQ(made.stages[0].first_rank, 1U);
    EXPECT_EQ(made.stages[1].first_rank, 2U);
    EXPECT_EQ(made.stages[2].first_rank, 4U);
    EXPECT_EQ(made.stages[3].first_rank, 5U);
    EXPECT_EQ(made.place(3).stage, 1);
    EXPECT_EQ(made.place(3).instance, 1);
    EXPECT_EQ(made.place(5).stage, 3);
    EXPECT_EQ(made.place(5).instance, 0);
}

TEST(Plan, SaysWhichLevelACodecHas) {
    auto spec = line("any_source", "pass", "eat");
    EXPECT_EQ(plan(spec).channels[0].compression, Compression{});
    for (const Codec codec : {Codec::lz4, Codec::zstd, Codec::zlib}) {
        if (!remedy_for(codec).empty()) continue;
        spec.channels[0].compression = {codec};
        spec.channels[0].checksum = Checksum::crc32c;

        const Plan made = plan(spec);

        EXPECT_EQ(made.channels[0].compression, (Compression{codec, levels_of(codec).usual}));
        EXPECT_EQ(made.channels[0].checksum, Checksum::crc32c);
    }
}

TEST(Plan, RefusesALevelThatACodecDoesNotHave) {
    auto spec = line("any_source", "pass", "eat");
    spec.channels[1].compression = {Codec::zstd, 20};
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("\"zstd\" has the levels 1 to 19, not 20"));
    spec.channels[1].compression = {Codec::lz4, -1};
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("\"lz4\" has the levels 1 to 12, not -1"));
    spec.channels[1].compression = {Codec::none, 1};
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("\"none\" has no levels"));
}

TEST(Plan, RefusesACodecThatIsNotBuiltIn) {
    for (const Codec codec : {Codec::lz4, Codec::zstd, Codec::zlib}) {
        if (remedy_for(codec).empty()) continue;
        auto spec = line("any_source", "pass", "eat");
        spec.channels[0].compression = {codec};
        EXPECT_EQ(plan_error(spec).code(), Errc::unsupported);
        EXPECT_THAT(plan_error(spec).what(), AllOf(HasSubstr("this build has no"), HasSubstr("configure with")));
    }
}

/// How many instances the stages of a line get, of which some fill a job of so many processes.
std::vector<int> filled(std::vector<int> wanted, std::uint32_t processes) {
    auto spec = line("any_source", "pass", "eat");
    for (std::size_t i = 0; i < wanted.size(); ++i) spec.stages[i].instances = wanted[i];
    const Plan made = make_plan(spec, sample_registry(), processes);
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = made.stages[i].instances;
    return wanted;
}

TEST(Plan, GivesStagesThatFillWhatTheOthersLeave) {
    constexpr int fill = StageSpec::fill;
    EXPECT_THAT(filled({1, fill, 2}, 16), ElementsAre(1, 12, 2));
    EXPECT_THAT(filled({1, fill, fill}, 9), ElementsAre(1, 4, 3));
    EXPECT_THAT(filled({fill, fill, fill}, 7), ElementsAre(2, 2, 2));
    // One each at least, also where that is more than there is.
    EXPECT_THAT(filled({1, fill, fill}, 3), ElementsAre(1, 1, 1));
    EXPECT_THAT(filled({5, fill, 5}, 2), ElementsAre(5, 1, 5));
    EXPECT_THAT(filled({1, 2, 3}, 100), ElementsAre(1, 2, 3));
    // On this machine.
    EXPECT_GE(filled({1, fill, 1}, 0)[1], 1);
}

TEST(Plan, LabelsItsRanks) {
    const auto made = plan(diamond());

    EXPECT_EQ(made.label(0), "coordinator");
    EXPECT_EQ(made.label(1), "source.0");
    EXPECT_EQ(made.label(3), "left.1");
}

TEST(Plan, JoinsStagesByChannelNumber) {
    const auto made = plan(diamond());

    EXPECT_THAT(made.stages[0].inputs, IsEmpty());
    EXPECT_THAT(made.stages[0].outputs, ElementsAre(0, 1));
    EXPECT_THAT(made.stages[3].inputs, ElementsAre(2, 3));
    EXPECT_EQ(made.channels[1].name, "source-right");
    EXPECT_EQ(made.channels[1].from, 0);
    EXPECT_EQ(made.channels[1].to, 2);
    EXPECT_EQ(made.channels[1].route, Route::hash);
    EXPECT_EQ(made.channels[1].key, "id");
}

TEST(Plan, CompletesParametersFromTheEnvironmentAndTheDefaults) {
    auto spec = line("make", "pass", "eat");

    EXPECT_EQ(plan(spec).stages[0].params.get<std::int64_t>("count"), 10);

    spec.stages[0].env["COUNT"] = "7";
    EXPECT_EQ(plan(spec).stages[0].params.get<std::int64_t>("count"), 7);
    EXPECT_EQ(plan(spec).stages[0].env.at("COUNT"), "7");
}

TEST(PlanErrors, NameThePlaceOfABadParameter) {
    auto spec = line("make", "scale", "eat");
    spec.stages[1].where = "p.json:5: /stages/1";

    const auto error = plan_error(spec);

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), AllOf(StartsWith("invalid input: p.json:5: /stages/1/params: "), HasSubstr("factor")));
}

TEST(PlanErrors, SuggestAnOperator) {
    EXPECT_STREQ(plan_error(line("mkae", "pass", "eat")).what(),
                 "invalid input: stage \"a\": unknown operator \"mkae\"; did you mean \"make\"?");
    EXPECT_THAT(plan_error(line("zzz", "pass", "eat")).what(),
                HasSubstr("known are any_source, eat, kernel, make, pass"));
}

TEST(PlanErrors, SuggestAStageAndReportNothingThatFollowsFromIt) {
    auto spec = line("make", "pass", "eat");
    spec.stages[1].name = "middle";
    spec.channels[0].to = "middel";
    spec.channels[0].where = "p.json:9: /channels/0";
    spec.channels[1].from = "middle";

    EXPECT_STREQ(plan_error(spec).what(),
                 "invalid input: p.json:9: /channels/0/to: unknown stage \"middel\"; did you mean \"middle\"?");
}

TEST(PlanErrors, SuggestAStageToBeWith) {
    auto spec = line("make", "pass", "eat");
    spec.stages[1].name = "middle";
    spec.channels[0].to = spec.channels[1].from = "middle";
    spec.stages[2].placement = StagePlacement::with("midle");
    spec.stages[2].where = "p.json:9: /stages/2";

    EXPECT_STREQ(
        plan_error(spec).what(),
        "invalid input: p.json:9: /stages/2/placement/with: unknown stage \"midle\"; did you mean \"middle\"?");
}

TEST(PlanErrors, NameStagesThatAreToBeWithEachOther) {
    auto spec = line("make", "pass", "eat");
    spec.stages[0].placement = StagePlacement::with("a");
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("stages are to be with each other: a -> a; let one of them"));

    spec.stages[0].placement = StagePlacement::with("c");
    spec.stages[1].placement = StagePlacement::with("a");
    spec.stages[2].placement = StagePlacement::with("b");
    const auto error = plan_error(spec);
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("stages are to be with each other: a -> c -> b -> a; let one of them"));
}

TEST(PlanErrors, RefuseNoInstancesPerNode) {
    auto spec = line("make", "pass", "eat");
    spec.stages[1].placement = StagePlacement::on_each_node(0);
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("\"per_node\" must be a number from 1 to 100000, not 0"));
}

TEST(PlanErrors, ComeAllTogether) {
    auto spec = line("mkae", "scale", "eat");
    spec.file = "p.json";
    spec.stages[2].instances = 0;
    spec.channels[1].to = "nowhere";

    EXPECT_THAT(plan_error(spec).what(),
                AllOf(StartsWith("invalid input: p.json: 4 problems\n"), HasSubstr("unknown operator \"mkae\""),
                      HasSubstr("factor"), HasSubstr("must be a number from 1 to 100000, not 0"),
                      HasSubstr("unknown stage \"nowhere\"")));
}

TEST(PlanErrors, NameStagesAndChannelsThatAreThereTwice) {
    auto spec = line("make", "pass", "eat");
    spec.stages.push_back(stage("b", "pass"));
    spec.channels.push_back(channel("a", "b"));

    EXPECT_THAT(plan_error(spec).what(),
                AllOf(HasSubstr("there is already a stage \"b\""), HasSubstr("there is already a channel \"a-b\"")));
}

TEST(PlanErrors, AllowTwoChannelsBetweenTheSameStagesWithNamesOfTheirOwn) {
    auto spec = line("make", "pass", "eat");
    spec.channels.push_back({.name = "second", .from = "a", .to = "b"});

    EXPECT_THAT(plan(spec).stages[1].inputs, ElementsAre(0, 2));
}

TEST(PlanErrors, NameTheWholeCycle) {
    auto spec = PipelineBuilder{"p"}
                    .stage(stage("in", "any_source"))
                    .stage(stage("a", "pass"))
                    .stage(stage("b", "pass"))
                    .stage(stage("c", "pass"))
                    .stage(stage("out", "eat"))
                    .channel(channel("in", "a"))
                    .channel(channel("a", "b"))
                    .channel(channel("b", "c"))
                    .channel(channel("c", "a"))
                    .channel(channel("c", "out"))
                    .build();

    EXPECT_THAT(plan_error(spec).what(), HasSubstr("the channels form a cycle: a -> b -> c -> a; remove one of them"));
}

TEST(PlanErrors, NameACycleOfOneStage) {
    auto spec = line("make", "pass", "eat");
    spec.channels.push_back(channel("b", "b"));

    EXPECT_THAT(plan_error(spec).what(), HasSubstr("form a cycle: b -> b;"));
}

TEST(PlanErrors, NameStagesThatNoSourceReaches) {
    auto spec = line("make", "pass", "eat");
    spec.stages.push_back(stage("island", "pass"));
    spec.stages.push_back(stage("beach", "eat"));
    spec.channels.push_back(channel("island", "beach"));

    EXPECT_THAT(plan_error(spec).what(),
                AllOf(HasSubstr("stage \"island\" runs the processor \"pass\" but has no input: no source reaches it"),
                      HasSubstr("no source reaches stage \"beach\"")));
}

TEST(PlanErrors, NameStagesBehindACycle) {
    auto spec = line("make", "pass", "eat");
    spec.stages.push_back(stage("x", "pass"));
    spec.stages.push_back(stage("y", "eat"));
    spec.channels.push_back(channel("x", "x"));
    spec.channels.push_back(channel("x", "y"));

    EXPECT_THAT(plan_error(spec).what(), AllOf(HasSubstr("x -> x"), HasSubstr("no source reaches stage \"y\""),
                                               Not(HasSubstr("reaches stage \"x\""))));
}

TEST(PlanErrors, RefuseASourceWithAnInput) {
    EXPECT_THAT(plan_error(line("make", "make", "eat")).what(),
                HasSubstr("stage \"b\" runs the source \"make\" but has an input"));
}

TEST(PlanErrors, RefuseASinkWithAnOutput) {
    EXPECT_THAT(plan_error(line("make", "eat", "eat")).what(),
                HasSubstr("stage \"b\" runs the sink \"eat\" but has an output"));
}

TEST(PlanErrors, RefuseEndsThatAreOpen) {
    EXPECT_THAT(plan_error(line("make", "pass", "pass")).what(),
                HasSubstr("stage \"c\" runs the processor \"pass\" but has no output"));
    EXPECT_THAT(plan_error(line("pass", "pass", "eat")).what(),
                HasSubstr("stage \"a\" runs the processor \"pass\" but has no input"));
}

TEST(PlanErrors, RefuseASourceThatNobodyHears) {
    const auto spec = PipelineBuilder{"p"}.stage(stage("a", "make")).build();

    EXPECT_THAT(plan_error(spec).what(), HasSubstr("stage \"a\" runs the source \"make\" but has no output"));
}

TEST(PlanErrors, RefuseEndsThatDisagreeOnTheType) {
    auto spec = line("make", "scale", "sum");
    spec.stages[1].params.set("factor", ParamValue{2.0});

    EXPECT_STREQ(
        plan_error(spec).what(),
        "invalid input: channel \"b-c\": \"b\" emits \"text/csv\" (scale) but \"c\" takes \"f64\" (sum); put a "
        "stage between them that converts");
}

TEST(Plan, JoinsOperatorsWithATypeInCommon) {
    const auto joins = [](const char* output, const char* input) {
        Registry registry;
        registry.add({.name = "out", .kind = OperatorKind::source, .help = "Test.", .output = output},
                     Registry::Factory{});
        registry.add({.name = "in", .kind = OperatorKind::sink, .help = "Test.", .input = input}, Registry::Factory{});
        PipelineBuilder builder{"p"};
        builder.stage({.name = "a", .operator_name = "out"})
            .stage({.name = "b", .operator_name = "in"})
            .channel({.from = "a", .to = "b"});
        try {
            return make_plan(builder.build(), registry).ranks() == 3;
        } catch (const Error&) {
            return false;
        }
    };

    EXPECT_TRUE(joins("u16", "numbers"));
    EXPECT_TRUE(joins("f32 or f64", "numbers"));
    EXPECT_TRUE(joins("numbers", "numbers"));
    EXPECT_TRUE(joins("u64 or text/csv", "text/csv"));
    EXPECT_TRUE(joins("f64", "u8 or f64"));
    EXPECT_FALSE(joins("text/csv", "numbers"));
    EXPECT_FALSE(joins("f32 or f64", "u8 or text/csv"));
}

TEST(Plan, JoinsAnyTypeToAnOperatorThatDeclaresNone) {
    EXPECT_EQ(plan(line("make", "pass", "sum")).ranks(), 4U);
}

TEST(PlanErrors, RefuseAPipelineWithoutStages) {
    EXPECT_THAT(plan_error(PipelineBuilder{"p"}.build()).what(), HasSubstr("pipeline \"p\": has no stages"));
}

TEST(PlanErrors, RefuseNamesThatCannotBeFiles) {
    auto spec = line("make", "pass", "eat");
    spec.stages[0].name = "../a";
    spec.channels[0].from = "../a";
    spec.channels[1].name = "x/y";

    EXPECT_THAT(plan_error(spec).what(),
                AllOf(HasSubstr("the name \"../a\" must be 1 to 64"), HasSubstr("the name \"x/y\" must be 1 to 64")));

    spec.name = "a/b";
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("the name of the pipeline \"a/b\" must be"));
}

TEST(PlanErrors, RefuseHashWithoutKeyAndKeyWithoutHash) {
    auto spec = line("make", "pass", "eat");
    spec.channels[0].route = Route::hash;
    spec.channels[1].key = "id";

    EXPECT_THAT(plan_error(spec).what(), AllOf(HasSubstr("channel \"a-b\": \"hash\" needs a key"),
                                               HasSubstr("channel \"b-c\": is used by the route")));
}

TEST(Plan, LeasesWhereSeveralInstancesShareAndItIsPossible) {
    const auto dispatch_with = [](int instances, Route route, Overflow overflow, Dispatch dispatch) {
        auto spec = line("make", "pass", "eat");
        spec.stages[1].instances = instances;
        spec.channels[0].route = route;
        spec.channels[0].key = route == Route::hash ? "id" : "";
        spec.channels[0].overflow = overflow;
        spec.channels[0].dispatch = dispatch;
        return make_plan(spec, sample_registry()).channels[0].dispatch;
    };

    const auto automatic = Dispatch::automatic;
    EXPECT_EQ(dispatch_with(2, Route::balance, Overflow::block, automatic), Dispatch::leased);
    EXPECT_EQ(dispatch_with(2, Route::balance, Overflow::latest, automatic), Dispatch::leased);
    EXPECT_EQ(dispatch_with(1, Route::balance, Overflow::block, automatic), Dispatch::direct);
    EXPECT_EQ(dispatch_with(2, Route::hash, Overflow::block, automatic), Dispatch::direct);
    EXPECT_EQ(dispatch_with(2, Route::balance, Overflow::error, automatic), Dispatch::direct);
    EXPECT_EQ(dispatch_with(2, Route::balance, Overflow::block, Dispatch::direct), Dispatch::direct);
    EXPECT_EQ(dispatch_with(2, Route::balance, Overflow::block, Dispatch::central), Dispatch::central);
}

TEST(PlanErrors, RefuseLeasesWhereAFullChannelMustBeKnown) {
    auto spec = line("make", "pass", "eat");
    spec.channels[0].dispatch = Dispatch::leased;
    spec.channels[0].overflow = Overflow::error;
    spec.channels[1].dispatch = Dispatch::leased;
    spec.channels[1].overflow = Overflow::latest;

    EXPECT_THAT(plan_error(spec).what(), AllOf(HasSubstr("channel \"a-b\": \"leased\" cannot tell a full channel"),
                                               Not(HasSubstr("channel \"b-c\""))));
}

TEST(PlanErrors, RefuseLeasesWhereTheRouteNamesTheReceiver) {
    for (const Route route : {Route::round_robin, Route::broadcast}) {
        auto spec = line("make", "pass", "eat");
        spec.channels[0].dispatch = Dispatch::leased;
        spec.channels[0].route = route;

        EXPECT_THAT(plan_error(spec).what(), HasSubstr("\"leased\" lets payloads go to the instance that is free"));
    }
}

TEST(PlanErrors, RefuseAFilterThatIsNoneAndASampleOfNothing) {
    auto spec = line("make", "pass", "eat");
    spec.channels[0].filter = "energy";
    spec.channels[1].sample = 0;

    EXPECT_THAT(plan_error(spec).what(), AllOf(HasSubstr("channel \"a-b\": asks nothing of \"energy\""),
                                               HasSubstr("channel \"b-c\": must be a number from 1")));
}

TEST(PlanErrors, RefuseBadCounts) {
    auto spec = line("make", "pass", "eat");
    spec.stages[0].instances = -2;
    spec.stages[1].instances = 100'001;
    spec.channels[0].capacity = 0;
    spec.channels[1].capacity_bytes = 0;

    EXPECT_THAT(plan_error(spec).what(), AllOf(HasSubstr("not -2"), HasSubstr("not 100001"),
                                               HasSubstr("from 1 to 1048576, not 0"), HasSubstr("at least 1 byte")));
}

TEST(PlanErrors, RefuseMoreRanksThanALaunchCanHave) {
    PipelineBuilder builder{"wide"};
    builder.stage(stage("in", "any_source"));
    for (int i = 0; i < 10; ++i) {
        const auto name = "out" + std::to_string(i);
        builder.stage(stage(name, "eat", 100'000)).channel(channel("in", name));
    }

    EXPECT_THAT(plan_error(builder.build()).what(), HasSubstr("has 1000001 instances, the limit is 999999"));
}

TEST(Plan, HasStagesForGpusWhoseOperatorsRunThere) {
    auto spec = line("make", "kernel", "eat");
    spec.stages[1].device = Device::gpu;

    EXPECT_EQ(make_plan(spec, sample_registry()).stages[1].device, Device::gpu);
    EXPECT_EQ(make_plan(spec, sample_registry()).stages[0].device, Device::cpu);
}

TEST(PlanErrors, ReportAStageForGpusWhoseOperatorDoesNotRunThereAsUnsupported) {
    auto spec = line("make", "pass", "eat");
    spec.stages[1].device = Device::gpu;
    EXPECT_EQ(plan_error(spec).code(), Errc::unsupported);
    EXPECT_THAT(plan_error(spec).what(),
                HasSubstr("operator \"pass\" does not run on a GPU; write \"device\": \"cpu\""));

    spec.stages[2].threads = 0;
    EXPECT_EQ(plan_error(spec).code(), Errc::invalid_input);
}

TEST(PlanErrors, NameWhatThreadsMayBe) {
    const auto error_with = [](int threads, int morsel_kib, double target) {
        auto spec = line("make", "pass", "eat");
        spec.stages[1].threads = threads;
        spec.stages[1].morsel_kib = morsel_kib;
        spec.stages[1].target_utilization = target;
        return std::string{plan_error(spec).what()};
    };

    EXPECT_THAT(error_with(1025, 64, 0.8), HasSubstr("\"threads\" must be a number from 1 to 1024, not 1025"));
    EXPECT_THAT(error_with(2, 15, 0.8), HasSubstr("\"morsel_kib\" must be a number from 16 to 1024"));
    EXPECT_THAT(error_with(2, 64, std::nan("")), HasSubstr("\"target_utilization\" must be a number from 0 to 1"));
}

TEST(PlanErrors, SayWhereInstancesCannotBeParked) {
    auto spec = line("make", "pass", "eat");
    spec.stages[1].park_idle = true;
    EXPECT_TRUE(make_plan(spec, sample_registry()).stages[1].park_idle);

    spec.stages[0].park_idle = true;
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("a source has no payloads to wait for"));
    spec.stages[0].park_idle = false;
    spec.channels[0].dispatch = Dispatch::direct;
    EXPECT_THAT(plan_error(spec).what(), HasSubstr("has the dispatch \"direct\"; let it be \"leased\""));
}

TEST(Plan, CopesWithThousandsOfStagesInARow) {
    PipelineBuilder builder{"long"};
    builder.stage(stage("s0", "any_source"));
    for (int i = 1; i < 4096; ++i) {
        const auto name = "s" + std::to_string(i);
        builder.stage(stage(name, i == 4095 ? "eat" : "pass")).channel(channel("s" + std::to_string(i - 1), name));
    }

    EXPECT_EQ(plan(builder.build()).ranks(), 4097U);
}

}  // namespace
}  // namespace penstock
