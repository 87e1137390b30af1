#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/time_text.hpp"
#include "operators/telemetry/dcgm_file.hpp"
#include "operators/telemetry/generator.hpp"
#include "operators/telemetry/message.hpp"
#include "operators/telemetry/series.hpp"
#include "support/fake_runtime.hpp"
#include "support/scratch_folder.hpp"
#include "unit/error_of.hpp"

namespace penstock::telemetry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace penstock::test;

constexpr std::string_view header =
    "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,container,pod,namespace,value,labels_raw\n";
// The documented row: as long as its header, with a space before the value.
constexpr std::string_view documented_row =
    "2025-07-18T20:42:34Z,DCGM_FI_DEV_GPU_UTIL,0,nvidia0,GPU-5fd4f087,NVIDIA H100 80GB HBM3,mtv5-dgx1-hgpu-031,,,, 75,"
    "labels\n";

[[nodiscard]] std::string csv(std::initializer_list<std::string_view> rows) {
    std::string text{header};
    for (const std::string_view row : rows) text += row;
    return text;
}

[[nodiscard]] std::string row(int number, std::string_view gpu = "GPU-1", std::string_view metric = "M") {
    return "2025-07-18T20:42:34Z," + std::string{metric} + ",0,nvidia0," + std::string{gpu} + ",H100,host,,,," +
           std::to_string(number) + ",\n";
}

// --- messages ---

TEST(TelemetryMessage, IsExactlyAsDocumented) {
    std::string text;
    append_sample(text, {.gpu_uuid = "GPU-5fd4f087-86f3-7a43-b711-4771313afc50",
                         .metric_name = "DCGM_FI_DEV_GPU_UTIL",
                         .value = "75",
                         .time_ns = *parse_time("2025-12-07T18:13:05.594482Z"),
                         .labels_raw = ""});
    EXPECT_EQ(text, R"({"gpu_uuid":"GPU-5fd4f087-86f3-7a43-b711-4771313afc50","metric_name":"DCGM_FI_DEV_GPU_UTIL",)"
                    R"("value":"75","timestamp":"2025-12-07T18:13:05.594482Z"})");
}

TEST(TelemetryMessage, EscapesAsTheStreamersLanguageDoes) {
    std::string text;
    append_sample(text, {.gpu_uuid = "a\"\\\n\r\t\x01<>&",
                         .metric_name = "\xC3\xA9\xE2\x80\xA8\xFF",
                         .value = "",
                         .time_ns = 0,
                         .labels_raw = "k=\"v\""});
    EXPECT_EQ(
        text,
        "{\"gpu_uuid\":\"a\\\"\\\\\\n\\r\\t\\u0001\\u003c\\u003e\\u0026\",\"metric_name\":\"\xC3\xA9\\u2028\\ufffd\","
        "\"value\":\"\",\"timestamp\":\"1970-01-01T00:00:00Z\",\"labels_raw\":\"k=\\\"v\\\"\"}");
}

TEST(TelemetryMessage, ReadsBackWhatWasWritten) {
    std::mt19937 random{3};
    MessageReader reader;
    for (int i = 0; i < 2000; ++i) {
        const auto text = [&] {
            std::string made = "x";
            for (auto left = random() % 12; left > 0; --left) made += static_cast<char>(random() % 128);
            return made + "\xF0\x9F\x98\x80";
        };
        const std::string uuid = text();
        const std::string metric = text();
        const std::string value = text();
        const std::string labels = random() % 2 == 0 ? "" : text();
        std::string json;
        append_sample(json, {uuid, metric, value, static_cast<std::int64_t>(random()), labels});
        const auto sample = reader.read_sample(json);
        ASSERT_TRUE(sample) << json;
        EXPECT_EQ(sample->gpu_uuid, uuid);
        EXPECT_EQ(sample->metric_name, metric);
        EXPECT_EQ(sample->value, value);
        EXPECT_EQ(sample->labels_raw, labels);
    }
}

TEST(TelemetryMessage, ReadsSurrogatePairsAndSpaces) {
    MessageReader reader;
    const auto sample = reader.read_sample(
        " { \"gpu_uuid\" : \"\\ud83d\\ude00\\ud800x\\/\" ,\t\"metric_name\":\"m\", \"value\":\"1\", \"more\":\"\",\n"
        "\"timestamp\":\"2025-12-07T18:13:05+00:00\"} ");
    ASSERT_TRUE(sample) << reader.why();
    EXPECT_EQ(sample->gpu_uuid, "\xF0\x9F\x98\x80\xEF\xBF\xBDx/");
}

TEST(TelemetryMessage, IsRefusedWithTheReason) {
    MessageReader reader;
    for (const char* json :
         {"", "{", "[]", "{}x", "{\"gpu_uuid\":1}", "{\"gpu_uuid\":\"a\",}", "{\"a\":\"b\" \"c\":\"d\"}",
          "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"b", "{\"a\"}", "{'a':'b'}"}) {
        EXPECT_FALSE(reader.read_sample(json)) << json;
        EXPECT_EQ(reader.why(), "it is no JSON object of strings") << json;
    }
    EXPECT_FALSE(reader.read_sample(R"({"gpu_uuid":"a","metric_name":"b","timestamp":"2025-12-07T18:13:05Z"})"));
    EXPECT_THAT(std::string{reader.why()}, HasSubstr("value"));
    EXPECT_FALSE(reader.read_sample(R"({"gpu_uuid":"a","metric_name":"b","value":"","timestamp":"now"})"));
    EXPECT_THAT(std::string{reader.why()}, HasSubstr("RFC 3339"));
    EXPECT_FALSE(reader.read_gpu(R"({"model_name":"a"})"));
}

TEST(TelemetryMessage, OfAGpuReadsBack) {
    const Gpu gpu{"GPU-1", "nvidia0", "0", "H100 <80GB>", "host", "", "pod", "space"};
    std::string json;
    append_gpu(json, gpu);
    EXPECT_EQ(json.find("container"), std::string::npos);
    MessageReader reader;
    EXPECT_EQ(reader.read_gpu(json), gpu);
}

// --- series ---

TEST(Series, KnowsWhatCameBeforeInAnyOrder) {
    std::mt19937 random{1};
    for (int round = 0; round < 100; ++round) {
        Series series;
        std::set<std::int64_t> known;
        for (int i = 0; i < 1000; ++i) {
            const auto time = static_cast<std::int64_t>(random() % (round % 2 == 0 ? 700 : 100'000)) - 300;
            ASSERT_EQ(series.add(time), known.insert(time).second) << time;
        }
    }
}

// --- files ---

TEST(DcgmFile, ReadsTheDocumentedRow) {
    const ScratchFolder folder;
    DcgmFile file{folder.write("metrics.csv", csv({documented_row})), {}};
    DcgmRow row;
    ASSERT_EQ(file.next(row), DcgmFile::Result::row);
    EXPECT_EQ(row.uuid, "GPU-5fd4f087");
    EXPECT_EQ(row.value, "75");
    EXPECT_EQ(row.model_name, "NVIDIA H100 80GB HBM3");
    EXPECT_EQ(row.container, "");
    EXPECT_EQ(row.labels_raw, "labels");
    EXPECT_EQ(file.next(row), DcgmFile::Result::end);
}

TEST(DcgmFile, FindsColumnsByNameInAnyOrderAndNeedsNoOptionalOnes) {
    const ScratchFolder folder;
    DcgmFile file{folder.write("metrics.csv",
                               " value, uuid,extra,metric_name,gpu_id,device,timestamp,modelName,Hostname\n"
                               ",\"GPU\"\"1\"\"\",x,M,0,nvidia0,then,H100,host\n"),
                  {}};
    DcgmRow row;
    ASSERT_EQ(file.next(row), DcgmFile::Result::row);
    EXPECT_EQ(row.value, "");
    EXPECT_EQ(row.uuid, "GPU\"1\"");
    EXPECT_EQ(row.timestamp, "then");
    EXPECT_EQ(row.labels_raw, "");
}

TEST(DcgmFile, NamesTheMissingColumn) {
    const ScratchFolder folder;
    const std::string path =
        folder.write("metrics.csv", "timestamp,metric_name,gpu_id,device,modelName,Hostname,value\n");
    const Error error = error_of([&] { DcgmFile{path, {}}; });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("missing required column: uuid"));
}

TEST(DcgmFile, TellsWhereABadRowIs) {
    const ScratchFolder folder;
    DcgmFile file{folder.write("metrics.csv", csv({row(1), row(2, ""), "a,b\n", row(3, "GPU-1", ""), row(4)})), {}};
    DcgmRow row;
    EXPECT_EQ(file.next(row), DcgmFile::Result::row);
    EXPECT_EQ(file.next(row), DcgmFile::Result::bad_row);
    EXPECT_THAT(file.why(), HasSubstr("row 3 (byte"));
    EXPECT_THAT(file.why(), HasSubstr("missing required fields: uuid or metric_name"));
    EXPECT_EQ(file.next(row), DcgmFile::Result::bad_row);
    EXPECT_THAT(file.why(), HasSubstr("row 4 (byte"));
    EXPECT_EQ(file.next(row), DcgmFile::Result::bad_row);
    EXPECT_EQ(file.next(row), DcgmFile::Result::row);
    EXPECT_EQ(row.value, "4");
}

TEST(Generator, MakesTheSameFileAgainWithARowForEachValue) {
    const ScratchFolder folder;
    GeneratedFile file{.path = folder.path("a.csv"), .gpus = 10, .metrics = 3, .times = 7};
    EXPECT_EQ(generate(file), 210U);
    file.path = folder.path("b.csv");
    EXPECT_EQ(generate(file), 210U);
    EXPECT_EQ(folder.read("a.csv"), folder.read("b.csv"));

    DcgmFile read{file.path, {}};
    DcgmRow row;
    std::set<std::string> gpus;
    std::set<std::string> keys;
    while (read.next(row) == DcgmFile::Result::row) {
        gpus.emplace(row.uuid);
        keys.insert(std::string{row.uuid} + std::string{row.metric_name} + std::string{row.timestamp});
        EXPECT_FALSE(std::isnan(std::stod(std::string{row.value})));
        EXPECT_THAT(std::string{row.labels_raw}, HasSubstr("UUID=\"" + std::string{row.uuid} + "\""));
    }
    EXPECT_EQ(gpus.size(), 10U);
    EXPECT_EQ(keys.size(), 210U);
}

// --- streamer ---

class StreamerTest : public ::testing::Test {
protected:
    [[nodiscard]] std::unique_ptr<Source> streamer(const std::string& path, Params more = {}) {
        more.set("csv_path", ParamValue{path});
        if (!more.has("loop")) more.set("loop", ParamValue{false});
        if (!more.has("interval")) more.set("interval", ParamValue{std::int64_t{0}});
        return make_builtin<Source>("telemetry_streamer", more, context);
    }
    void run(Source& source) {
        while (source.produce(out)) {
        }
        source.finish();
    }
    /// "topic gpu metric" of each message.
    [[nodiscard]] std::vector<std::string> sent() const {
        std::vector<std::string> lines;
        for (const Payload& payload : out.emitted) {
            const MetadataView data = payload.metadata();
            lines.push_back(std::string{*data.string("topic")} + " " + std::string{*data.string("gpu_uuid")} + " " +
                            std::string{data.string("metric_name").value_or("-")});
        }
        return lines;
    }

    ScratchFolder folder;
    FakeContext context;
    FakeOutput out;
};

TEST_F(StreamerTest, IntroducesAGpuOnceAndSendsAMessageARow) {
    const auto source = streamer(folder.write("m.csv", csv({row(1), row(2, "GPU-2"), row(3), row(4, "GPU-1", "N")})));
    run(*source);
    EXPECT_THAT(sent(), ElementsAre("gpu GPU-1 -", "telemetry GPU-1 M", "gpu GPU-2 -", "telemetry GPU-2 M",
                                    "telemetry GPU-1 M", "telemetry GPU-1 N"));
    EXPECT_EQ(context.counters["rows_sent"], 4U);
    const Payload& message = out.emitted[1];
    EXPECT_EQ(message.format(), Format::json);
    EXPECT_EQ(message.metadata().string("instance_id"), "stage");
    EXPECT_EQ(message.metadata().string("hostname"), "host");
    EXPECT_EQ(message.metadata().string("device"), "nvidia0");
    MessageReader reader;
    const auto sample = reader.read_sample(message.text());
    ASSERT_TRUE(sample);
    EXPECT_EQ(sample->value, "1");
    EXPECT_NE(sample->time_ns, *parse_time("2025-07-18T20:42:34Z")) << "the time of sending";
    EXPECT_THAT(context.logger.messages(),
                ::testing::IsSupersetOf({"Starting telemetry streamer", "Streamer statistics",
                                         "Stream completed (loop mode disabled)", "Shutdown complete",
                                         "Telemetry streamer shut down gracefully"}));
}

TEST_F(StreamerTest, TakesTheTimeOfTheFileWhenAsked) {
    const auto source = streamer(folder.write("m.csv", csv({row(1), "soon,M,0,d,GPU-1,H,h,,,,2,\n"})),
                                 params({{"time_source", ParamValue{std::string{"csv"}}}}));
    run(*source);
    MessageReader reader;
    EXPECT_EQ(reader.read_sample(out.emitted[1].text())->time_ns, *parse_time("2025-07-18T20:42:34Z"));
    EXPECT_EQ(context.counters["errors"], 1U);
    EXPECT_EQ(context.counters["rows_sent"], 1U);
}

TEST_F(StreamerTest, IntroducesAGpuAgainWhenWhatIsKnownOfItChanges) {
    std::string moved = row(2);
    moved.replace(moved.find("host"), 4, "else");
    const auto source = streamer(folder.write("m.csv", csv({row(1), moved})));
    run(*source);
    EXPECT_THAT(sent(), ElementsAre("gpu GPU-1 -", "telemetry GPU-1 M", "gpu GPU-1 -", "telemetry GPU-1 M"));
}

TEST_F(StreamerTest, SendsSeveralRowsOfOneGpuAndMetricInAMessage) {
    const auto source = streamer(folder.write("m.csv", csv({row(1), row(2, "GPU-2"), row(3), row(4), row(5, "GPU-2")})),
                                 params({{"rows_per_message", ParamValue{std::int64_t{2}}}}));
    run(*source);
    std::multiset<std::string> values;
    MessageReader reader;
    for (const Payload& payload : out.emitted) {
        if (payload.metadata().string("topic") != "telemetry") continue;
        std::string_view text = payload.text();
        std::string all = std::string{*payload.metadata().string("gpu_uuid")} + ":";
        while (!text.empty()) {
            const auto end = std::min(text.find('\n'), text.size());
            all += std::string{reader.read_sample(text.substr(0, end))->value};
            text.remove_prefix(std::min(end + 1, text.size()));
        }
        values.insert(all);
    }
    EXPECT_THAT(values, ElementsAre("GPU-1:13", "GPU-1:4", "GPU-2:25"));
    EXPECT_EQ(context.counters["rows_sent"], 5U);
}

TEST_F(StreamerTest, SendsOnlyTheMetricsAskedFor) {
    const auto source = streamer(
        folder.write("m.csv", csv({row(1), row(2, "GPU-1", "N"), row(3, "GPU-1", "O")})),
        params(
            {{"metrics", ParamValue{ParamValue::List{ParamValue{std::string{"N"}}, ParamValue{std::string{"O"}}}}}}));
    run(*source);
    EXPECT_THAT(sent(), ElementsAre("gpu GPU-1 -", "telemetry GPU-1 N", "telemetry GPU-1 O"));
}

TEST_F(StreamerTest, CountsBadRowsAndGoesOn) {
    const auto source = streamer(folder.write("m.csv", csv({row(1), row(2, ""), "x\n", row(3)})));
    run(*source);
    EXPECT_EQ(context.counters["rows_sent"], 2U);
    EXPECT_EQ(context.counters["errors"], 2U);
}

TEST_F(StreamerTest, WaitsAnIntervalBeforeEachRowWithoutDrifting) {
    const auto source = streamer(folder.write("m.csv", csv({row(1), row(2), row(3)})),
                                 params({{"interval", ParamValue{std::string{"100ms"}}}}));
    run(*source);
    ASSERT_EQ(context.waits.size(), 3U);
    EXPECT_EQ(context.waits[1] - context.waits[0], std::chrono::milliseconds{100});
    EXPECT_EQ(context.waits[2] - context.waits[1], std::chrono::milliseconds{100});
}

TEST_F(StreamerTest, BeginsAgainASecondAfterTheEndWhenItLoops) {
    const auto source = streamer(folder.write("m.csv", csv({row(1)})), params({{"loop", ParamValue{true}}}));
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(source->produce(out));
    EXPECT_EQ(context.waits.size(), 2U);
    EXPECT_EQ(context.counters["rows_sent"], 3U);
    context.stopping = true;
    while (source->produce(out)) {
    }
    EXPECT_LE(context.counters["rows_sent"], 4U);
}

TEST_F(StreamerTest, FailsWithoutAFileUnlessItLoops) {
    const Error error = error_of([&] { run(*streamer(folder.path("none.csv"))); });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("set \"csv_path\" to a file that can be read"));

    const auto source = streamer(folder.path("later.csv"), params({{"loop", ParamValue{true}}}));
    EXPECT_TRUE(source->produce(out));
    EXPECT_TRUE(source->produce(out));
    EXPECT_EQ(context.counters["errors"], 2U);
    EXPECT_EQ(context.waits.size(), 2U);
    folder.write("later.csv", csv({row(1)}));
    EXPECT_TRUE(source->produce(out));
    EXPECT_EQ(context.counters["rows_sent"], 1U);
}

TEST_F(StreamerTest, SharesTheRowsBetweenInstancesOrNot) {
    std::string text{header};
    for (int i = 0; i < 1000; ++i) text += row(i);
    const std::string path = folder.write("m.csv", text);
    for (const bool shared : {true, false}) {
        std::uint64_t sent = 0;
        for (int instance = 0; instance < 3; ++instance) {
            FakeContext third;
            third.instance_count = 3;
            third.instance_number = instance;
            FakeOutput emitted{64U << 20U};
            Params given = params({{"csv_path", ParamValue{path}},
                                   {"loop", ParamValue{false}},
                                   {"interval", ParamValue{std::int64_t{0}}},
                                   {"instance_id", ParamValue{std::string{"s"}}},
                                   {"partition", ParamValue{std::string{shared ? "rows" : "none"}}}});
            const auto source = make_builtin<Source>("telemetry_streamer", given, third);
            while (source->produce(emitted)) {
            }
            sent += third.counters["rows_sent"];
            EXPECT_EQ(emitted.emitted.at(0).metadata().string("instance_id"), "s-" + std::to_string(instance));
        }
        EXPECT_EQ(sent, shared ? 1000U : 3000U);
    }
}

TEST_F(StreamerTest, StartsEachInstanceLater) {
    context.instance_number = 2;
    context.instance_count = 3;
    const auto source =
        streamer(folder.write("m.csv", csv({row(1)})), params({{"stagger", ParamValue{std::string{"2s"}}}}));
    const auto before = std::chrono::steady_clock::now();
    run(*source);
    ASSERT_FALSE(context.waits.empty());
    EXPECT_GE(context.waits[0] - before, std::chrono::seconds{4});
}

}  // namespace
}  // namespace penstock::telemetry
