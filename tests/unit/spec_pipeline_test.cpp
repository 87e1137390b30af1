#include <string>
#include <string_view>

#include <gmock/gmock.h>

#include <penstock/error.hpp>
#include <penstock/spec.hpp>

#include "unit/error_of.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;
using testing::StartsWith;

/// A pipeline whose only stage and channel have these keys besides the required ones.
std::string with_stage(const std::string& keys) {
    return R"({"pipeline": "p", "stages": [{"name": "a", "operator": "x", )" + keys + R"(}], "channels": []})";
}

std::string with_channel(const std::string& keys) {
    return R"({"pipeline": "p", "stages": [{"name": "a", "operator": "x"}, {"name": "b", "operator": "y"}],)"
           R"( "channels": [{"from": "a", "to": "b", )" +
           keys + "}]}";
}

Error parse_error(const std::string& text) {
    return error_of([&] { static_cast<void>(parse_pipeline(text, "p.json")); });
}

TEST(Pipeline, ReadsTheDemo) {
    const auto spec = parse_pipeline(R"({
      "pipeline": "streaming-demo",
      "stages": [
        {"name": "producer",  "operator": "records", "params": {"batch_size": 1000, "total_batches": 100}},
        {"name": "processor", "operator": "scale_records", "instances": 2, "params": {"factor": 2.0}},
        {"name": "consumer",  "operator": "csv_sink", "params": {"output": "results.csv"}}
      ],
      "channels": [
        {"from": "producer",  "to": "processor", "route": "balance"},
        {"from": "processor", "to": "consumer"}
      ]
    })");

    EXPECT_EQ(spec.name, "streaming-demo");
    ASSERT_EQ(spec.stages.size(), 3U);
    EXPECT_EQ(spec.stages[0].params.get<std::int64_t>("batch_size"), 1000);
    EXPECT_EQ(spec.stages[1].name, "processor");
    EXPECT_EQ(spec.stages[1].operator_name, "scale_records");
    EXPECT_EQ(spec.stages[1].instances, 2);
    EXPECT_EQ(spec.stages[1].params.get<double>("factor"), 2.0);
    EXPECT_EQ(spec.stages[2].params.get<std::string>("output"), "results.csv");
    EXPECT_EQ(spec.stages[2].instances, 1);
    ASSERT_EQ(spec.channels.size(), 2U);
    EXPECT_EQ(spec.channels[1].from, "processor");
    EXPECT_EQ(spec.channels[1].to, "consumer");
}

TEST(Pipeline, ReadsEveryKeyOfAStage) {
    const auto spec = parse_pipeline(with_stage(R"("instances": 3.0, "threads": 4, "morsel_kib": 128,
        "target_utilization": 0.5, "park_idle": true, "device": "gpu", "ordered": false,
        "env": {"BATCH_SIZE": "10", "N": 7, "RATIO": 1.50},
        "params": {"flag": true, "count": -5, "ratio": 0.25, "text": "t\u00e9", "list": [1, [2.5, "x"]]})"));

    const auto& stage = spec.stages.at(0);
    EXPECT_EQ(stage.instances, 3);
    EXPECT_EQ(stage.threads, 4);
    EXPECT_EQ(stage.morsel_kib, 128);
    EXPECT_EQ(stage.target_utilization, 0.5);
    EXPECT_TRUE(stage.park_idle);
    EXPECT_EQ(stage.device, Device::gpu);
    EXPECT_THAT(stage.env, ElementsAre(Pair("BATCH_SIZE", "10"), Pair("N", "7"), Pair("RATIO", "1.50")));
    EXPECT_TRUE(stage.params.get<bool>("flag"));
    EXPECT_EQ(stage.params.get<std::int64_t>("count"), -5);
    EXPECT_EQ(stage.params.get<double>("ratio"), 0.25);
    EXPECT_EQ(stage.params.get<std::string>("text"), "t\u00e9");
    const ParamValue::List inner{{2.5}, {std::string{"x"}}};
    EXPECT_EQ(stage.params.get<ParamValue::List>("list"), (ParamValue::List{{std::int64_t{1}}, {inner}}));
}

TEST(Pipeline, ReadsWhereAStageIsToBe) {
    const auto placed = [](const std::string& text) {
        return parse_pipeline(with_stage(R"("placement": )" + text)).stages.at(0).placement;
    };

    EXPECT_EQ(placed(R"("spread")"), StagePlacement::spread());
    EXPECT_EQ(placed(R"("pack")"), StagePlacement::pack());
    EXPECT_EQ(placed(R"({"with": "b"})"), StagePlacement::with("b"));
    EXPECT_EQ(placed(R"({"per_node": 3})"), StagePlacement::on_each_node(3));
    EXPECT_EQ(placed(R"({"constraint": "a&b"})"), StagePlacement{}.on("a&b"));
    EXPECT_EQ(placed(R"({"rule": "pack", "constraint": "gpu"})"), StagePlacement::pack().on("gpu"));
    EXPECT_EQ(placed(R"({"per_node": 3, "partition": "p"})"),
              (StagePlacement{.rule = PlacementRule::per_node, .per_node = 3, .partition = "p"}));
    EXPECT_EQ(parse_pipeline(with_stage(R"("threads": 1)")).stages.at(0).placement, StagePlacement{});
}

TEST(Pipeline, WritesWhereAStageIsToBe) {
    for (const char* text : {R"("pack")", R"({"per_node": 3})", R"({"with": "b"})", R"({"constraint": "gpu"})",
                             R"({"rule": "spread", "constraint": "gpu", "partition": "p"})"}) {
        const auto spec = parse_pipeline(with_stage(R"("placement": )" + std::string{text}));
        EXPECT_EQ(parse_pipeline(to_json(spec)).stages.at(0).placement, spec.stages.at(0).placement) << text;
        EXPECT_NE(spec.stages.at(0).placement, StagePlacement{}) << text;
    }
}

TEST(Pipeline, ReadsHowLongAStageMayTake) {
    EXPECT_EQ(parse_pipeline(with_stage(R"("timeout": "90s")")).stages.at(0).timeout, std::chrono::seconds{90});
    EXPECT_EQ(parse_pipeline(with_stage(R"("timeout": "2 h")")).stages.at(0).timeout, std::chrono::hours{2});
    EXPECT_EQ(parse_pipeline(with_stage(R"("threads": 1)")).stages.at(0).timeout.count(), 0);
}

TEST(Pipeline, TakesAShareOfTheCacheForMorselsWhenAsked) {
    const auto stage = parse_pipeline(with_stage(R"("morsel_kib": "auto", "target_utilization": 1)")).stages.at(0);

    EXPECT_EQ(stage.morsel_kib, 0);
    EXPECT_EQ(stage.target_utilization, 1.0);
    EXPECT_EQ(stage.threads, 1);
}

TEST(Pipeline, ReadsEveryKeyOfAChannel) {
    const auto spec = parse_pipeline(with_channel(R"("name": "link", "route": "hash", "key": "id",
        "capacity": {"payloads": 8, "bytes": "2MiB"}, "overflow": "latest", "transport": "shm",
        "dispatch": "central", "by": "value", "filter": "energy > 5", "sample": 10,
        "compression": {"codec": "zstd", "level": 9}, "checksum": "crc32c")"));

    const auto& channel = spec.channels.at(0);
    EXPECT_EQ(channel.name, "link");
    EXPECT_EQ(channel.route, Route::hash);
    EXPECT_EQ(channel.key, "id");
    EXPECT_EQ(channel.capacity, 8U);
    EXPECT_EQ(channel.capacity_bytes, 2U << 20U);
    EXPECT_EQ(channel.overflow, Overflow::latest);
    EXPECT_EQ(channel.transport, TransportKind::shm);
    EXPECT_EQ(channel.dispatch, Dispatch::central);
    EXPECT_EQ(channel.by, PassBy::value);
    EXPECT_EQ(channel.filter, "energy > 5");
    EXPECT_EQ(channel.sample, 10U);
    EXPECT_EQ(channel.compression, (Compression{Codec::zstd, 9}));
    EXPECT_EQ(channel.checksum, Checksum::crc32c);
}

TEST(Pipeline, TakesACodecByItsName) {
    for (const Codec codec : {Codec::none, Codec::lz4, Codec::zstd, Codec::zlib}) {
        const std::string name{name_of(codec)};
        const auto spec = parse_pipeline(with_channel("\"compression\": \"" + name + "\""));
        const auto same = parse_pipeline(with_channel("\"compression\": {\"codec\": \"" + name + "\"}"));

        EXPECT_EQ(spec.channels.at(0).compression, Compression{codec});
        EXPECT_EQ(same.channels.at(0).compression, Compression{codec});
    }
}

TEST(Pipeline, TakesACapacityInPayloads) {
    const auto channel = parse_pipeline(with_channel(R"("capacity": 5)")).channels.at(0);

    EXPECT_EQ(channel.capacity, 5U);
    EXPECT_EQ(channel.capacity_bytes, (ChannelSpec{.from = "", .to = ""}.capacity_bytes));
}

TEST(Pipeline, TakesACapacityInBytesAlone) {
    const auto channel = parse_pipeline(with_channel(R"("capacity": {"bytes": 4096})")).channels.at(0);

    EXPECT_EQ(channel.capacity, (ChannelSpec{.from = "", .to = ""}.capacity));
    EXPECT_EQ(channel.capacity_bytes, 4096U);
}

TEST(Pipeline, IsNamedAfterItsFileIfItDoesNotSay) {
    constexpr auto text = R"({"stages": [{"name": "a", "operator": "x"}], "channels": []})";

    EXPECT_EQ(parse_pipeline(text, "jobs/my job.json").name, "my-job");
    EXPECT_EQ(parse_pipeline(text, ".json").name, "pipeline");
    EXPECT_EQ(parse_pipeline(text, "--").name, "pipeline");
}

TEST(Pipeline, RemembersWhereEverythingStands) {
    const auto spec = parse_pipeline(
        "{\n\"stages\": [\n  {\"name\": \"a\",\n   \"operator\": \"x\"},\n\n  {\"name\": \"b\", \"operator\": "
        "\"y\"}],\n"
        "\"channels\": [\n{\"from\": \"a\", \"to\": \"b\"}]}",
        "p.json");

    EXPECT_EQ(spec.stages[0].where, "p.json:3: /stages/0");
    EXPECT_EQ(spec.stages[1].where, "p.json:6: /stages/1");
    EXPECT_EQ(spec.channels[0].where, "p.json:8: /channels/0");
}

TEST(PipelineErrors, NameFileLinePathAndRemedy) {
    const auto error = parse_error(R"({
      "pipeline": "p",
      "stages": [
        {"name": "a", "operator": "x"},
        {
          "name": "b", "operator": "y",
          "instances": "two"
        }
      ],
      "channels": []
    })");

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_STREQ(error.what(),
                 "invalid input: p.json:7: /stages/1/instances: must be a number from 1 to 100000, not \"two\"; write "
                 "\"instances\": 2");
}

TEST(PipelineErrors, GiveTheLineOfANumberAtTheEndOfALine) {
    EXPECT_THAT(
        parse_error("{\"stages\": [{\"name\": \"a\", \"operator\": \"x\", \"instances\":\n0\n}],\n\"channels\": []}")
            .what(),
        HasSubstr("p.json:2: /stages/0/instances"));
}

TEST(PipelineErrors, UseANumberThatWasPutIntoQuotes) {
    EXPECT_THAT(parse_error(with_stage(R"("instances": "4")")).what(), HasSubstr("write \"instances\": 4"));
}

TEST(PipelineErrors, ComeAllTogether) {
    const auto error = parse_error(R"({"pipeline": 1, "stages": [{"operator": "x"}, 5],
        "channels": [{"from": "a", "rout": "hash", "to": "b", "overflow": "drop"}]})");

    EXPECT_THAT(
        error.what(),
        AllOf(StartsWith("invalid input: p.json: 5 problems\n"),
              HasSubstr("p.json:1: /pipeline: must be a string, not 1"),
              HasSubstr("p.json:1: /stages/0: has no \"name\"; add \"name\""),
              HasSubstr("p.json:1: /stages/1: must be an object, not 5"),
              HasSubstr("p.json:2: /channels/0/rout: unknown key \"rout\"; did you mean \"route\"?"),
              HasSubstr("p.json:2: /channels/0/overflow: must be one of \"block\""), HasSubstr("not \"drop\"")));
}

TEST(PipelineErrors, StopAtTwenty) {
    std::string keys = R"("x0": 0)";
    for (int i = 1; i < 25; ++i) keys += ", \"x" + std::to_string(i) + "\": 0";

    const auto error = parse_error(with_stage(keys));

    EXPECT_THAT(error.what(), AllOf(HasSubstr("p.json: 25 problems"), HasSubstr("\"x19\""), Not(HasSubstr("\"x20\"")),
                                    HasSubstr("\n  and 5 more")));
}

TEST(PipelineErrors, RefuseAKeyThatStandsTwice) {
    EXPECT_STREQ(parse_error(with_stage("\"params\": {\"f\": 1,\n\"f\": 2}")).what(),
                 "invalid input: p.json:2: /stages/0/params/f: stands twice; remove one of them");
}

TEST(PipelineErrors, SayWhatToAddForMissingChannels) {
    EXPECT_THAT(
        parse_error(R"({"stages": [{"name": "make", "operator": "x"}, {"name": "eat", "operator": "y"}]})").what(),
        HasSubstr(R"(p.json:1: has no "channels"; add "channels": [{"from": "make", "to": "eat"}])"));
}

TEST(PipelineErrors, OfferALegalNameForOneThatCannotBeAFile) {
    const auto named = [](const std::string& name) {
        return parse_error(R"({"stages": [{"name": ")" + name + R"(", "operator": "x"}], "channels": []})");
    };

    EXPECT_THAT(named("../etc/pass wd").what(), HasSubstr("write \"name\": \"etc-pass-wd\""));
    EXPECT_THAT(named("").what(), HasSubstr("1 to 64 letters"));
    EXPECT_THAT(named(".hidden").what(), HasSubstr("write \"name\": \"hidden\""));
    EXPECT_THAT(named("-x").what(), HasSubstr("write \"name\": \"x\""));
    EXPECT_THAT(named(std::string(65, 'a')).what(), HasSubstr("1 to 64 letters"));
}

struct Refusal {
    const char* keys;
    const char* message;
};

class RefusedStage : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedStage, SaysWhatIsWrong) {
    const auto error = parse_error(with_stage(GetParam().keys));

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Pipeline, RefusedStage,
    testing::Values(
        Refusal{R"("instances": 0)", "must be a number from 1 to 100000, not 0"},
        Refusal{R"("instances": 1.5)", "not 1.5"}, Refusal{R"("instances": 100001)", "not 100001"},
        Refusal{R"("instances": null)", "not null"}, Refusal{R"("threads": 0)", "must be a number from 1 to 1024"},
        Refusal{R"("threads": 1025)", "not 1025"}, Refusal{R"("morsel_kib": 15)", "from 16 to 1024, not 15"},
        Refusal{R"("morsel_kib": 1025)", "not 1025"}, Refusal{R"("morsel_kib": "big")", "not \"big\""},
        Refusal{R"("target_utilization": 1.5)", "must be a number from 0 to 1, not 1.5"},
        Refusal{R"("target_utilization": "all")", "not \"all\""},
        Refusal{R"("device": "tpu")", R"(must be one of "cpu", "gpu", not "tpu")"},
        Refusal{R"("ordered": 1)", "must be true or false, not 1"},
        Refusal{R"("park_idle": "yes")", "must be true or false, not \"yes\""},
        Refusal{R"("placement": "spraed")", "did you mean \"spread\"?"},
        Refusal{R"("placement": {})", R"(must have one of "with", "per_node" and "rule")"},
        Refusal{R"("placement": {"rule": "pack", "per_node": 1})", R"(must have one of "with", "per_node" and "rule")"},
        Refusal{R"("placement": {"rule": "pakc"})", "did you mean \"pack\"?"},
        Refusal{R"("placement": {"constraint": ""})", "/stages/0/placement/constraint: must not be empty"},
        Refusal{R"("placement": {"partition": 3})", "must be a string"},
        Refusal{R"("placement": {"with": "b", "per_node": 1})", R"(must have one of "with", )"},
        Refusal{R"("placement": {"pernode": 1})", "did you mean \"per_node\"?"},
        Refusal{R"("placement": {"per_node": 0})",
                "/stages/0/placement/per_node: must be a number from 1 to 100000, not 0"},
        Refusal{R"("placement": {"with": 3})", "/stages/0/placement/with: must be a string, not 3"},
        Refusal{R"("timeout": 90)", "must be a text like \"90s\""}, Refusal{R"("timeout": "0s")", "more than 0"},
        Refusal{R"("timeout": "soon")", "not \"soon\""}, Refusal{R"("params": [])", "must be an object, not a list"},
        Refusal{R"("after": 3)",
                R"(must be the name of a stage or a list of such names, not 3; write "after": ["make"])"},
        Refusal{R"("after": ["b", null])", "/stages/0/after: must be the name of a stage"},
        Refusal{R"("after": {"b": 1})", "/stages/0/after: must be the name of a stage"},
        Refusal{R"("params": {"a": null})", "/stages/0/params/a: must be a boolean, a number"},
        Refusal{R"("params": {"a": [1, {}]})", "/stages/0/params/a/1: must be a boolean, a number"},
        Refusal{R"("params": {"a/b~": {}})", "/stages/0/params/a~1b~0: "},
        Refusal{R"("env": {"A": true})", "/stages/0/env/A: must be a string without NUL or a number"},
        Refusal{R"("env": {"A": "\u0000"})", "without NUL"},
        Refusal{R"("env": {"A=B": "1"})", "is no name of a variable"},
        Refusal{R"("parms": {})", "did you mean \"params\"?"},
        Refusal{R"("colour": 1)", "the keys here are name, operator, params"}));

class RefusedChannel : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedChannel, SaysWhatIsWrong) {
    const auto error = parse_error(with_channel(GetParam().keys));

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Pipeline, RefusedChannel,
    testing::Values(
        Refusal{R"("route": "ballance")", "did you mean \"balance\"?"},
        Refusal{R"("route": 3)", R"(must be one of "balance", "round_robin", "hash", "broadcast", not 3)"},
        Refusal{R"("key": "")", "must have 1 to 255 bytes"},
        Refusal{R"("capacity": 0)", "must be a number from 1 to 1048576, not 0"},
        Refusal{R"("capacity": "64MiB")", "must be a number from 1 to 1048576"},
        Refusal{R"("capacity": {"bytes": "lots"})", "/channels/0/capacity/bytes: must be a number of bytes"},
        Refusal{R"("capacity": {"bytes": 0})", R"(write "bytes": "64MiB")"},
        Refusal{R"("capacity": {"byte": 1})", "did you mean \"bytes\"?"},
        Refusal{R"("name": "a b")", "write \"name\": \"a-b\""},
        Refusal{R"("transport": "tcp")", R"(must be one of "auto", "shm", "ucx", "ofi", "mpi", not "tcp")"},
        Refusal{R"("compression": 5)", R"(must be one of "none", "lz4", "zstd", "zlib", not 5)"},
        Refusal{R"("compression": "lz5")", "did you mean \"lz4\"?"},
        Refusal{R"("compression": {"codec": "ztsd"})", "/channels/0/compression/codec: must be one of"},
        Refusal{R"("compression": {"level": 3})", R"(has no "codec"; add "codec": "lz4")"},
        Refusal{R"("compression": {"codec": "zstd", "level": 20})",
                R"(/channels/0/compression/level: must be a number from 1 to 19, not 20; write "level": 3)"},
        Refusal{R"("compression": {"codec": "zlib", "level": "9"})", R"(write "level": 9)"},
        Refusal{R"("compression": {"codec": "none", "level": 1})", "is of no use"},
        Refusal{R"("compression": {"codec": "lz4", "levle": 1})", "did you mean \"level\"?"},
        Refusal{R"("checksum": "crc32")", "did you mean \"crc32c\"?"}));

class UnavailableStage : public testing::TestWithParam<const char*> {};

TEST_P(UnavailableStage, IsReportedAsUnsupported) {
    const auto error = parse_error(with_stage(GetParam()));

    EXPECT_EQ(error.code(), Errc::unsupported);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("not available in"), HasSubstr("version")));
}

INSTANTIATE_TEST_SUITE_P(Pipeline, UnavailableStage, testing::Values(R"("ordered": true)"));

class UnavailableChannel : public testing::TestWithParam<const char*> {};

TEST_P(UnavailableChannel, IsReportedAsUnsupported) {
    const auto error = parse_error(with_channel(GetParam()));

    EXPECT_EQ(error.code(), Errc::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("is not available in version"));
}

INSTANTIATE_TEST_SUITE_P(Pipeline, UnavailableChannel, testing::Values(R"("overflow": "spill")"));

TEST(PipelineErrors, NameTheFilterThatIsNone) {
    const auto error = parse_error(with_channel(R"("filter": "energy = 5")"));

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("/channels/0/filter: has \"= 5\" after the key"), HasSubstr("write")));
    EXPECT_THAT(parse_error(with_channel(R"("filter": 5)")).what(), HasSubstr("must be a string"));
    EXPECT_THAT(parse_error(with_channel(R"("sample": 0)")).what(), HasSubstr("/channels/0/sample"));
}

TEST(Pipeline, HasStagesAfterOneOrSeveral) {
    const auto after = [](const std::string& keys) {
        return parse_pipeline(R"({"stages": [{"name": "a", "operator": "x")" + keys + R"(}], "channels": []})")
            .stages[0]
            .after;
    };
    EXPECT_THAT(after(R"(, "after": "b")"), testing::ElementsAre("b"));
    EXPECT_THAT(after(R"(, "after": ["b", "c"])"), testing::ElementsAre("b", "c"));
    EXPECT_THAT(after(R"(, "after": [])"), testing::IsEmpty());
    EXPECT_THAT(after(""), testing::IsEmpty());
}

TEST(PipelineErrors, AreInvalidInputIfAnyIs) {
    EXPECT_EQ(parse_error(with_stage(R"("ordered": true, "bad": 2)")).code(), Errc::invalid_input);
    EXPECT_EQ(parse_error(with_stage(R"("bad": 2, "ordered": true)")).code(), Errc::invalid_input);
    EXPECT_EQ(parse_error(with_stage(R"("ordered": true, "device": "cpu")")).code(), Errc::unsupported);
}

TEST(Names, OfTransportsAreReadBack) {
    for (const auto kind :
         {TransportKind::automatic, TransportKind::shm, TransportKind::ucx, TransportKind::ofi, TransportKind::mpi}) {
        EXPECT_EQ(transport_kind(name_of(kind)), kind);
    }
    EXPECT_EQ(name_of(TransportKind::automatic), "auto");
    EXPECT_THAT(error_of([] { static_cast<void>(transport_kind("smh")); }).what(), HasSubstr("did you mean \"shm\"?"));
}

}  // namespace
}  // namespace penstock
