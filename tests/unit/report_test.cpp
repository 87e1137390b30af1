#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "launch/process_identity.hpp"
#include "report/charts.hpp"
#include "report/html.hpp"
#include "report/page.hpp"
#include "support/scratch_folder.hpp"

namespace penstock::report {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Json = nlohmann::json;

constexpr const char* attack = "<script>alert('x')</script>\"&";

[[nodiscard]] std::size_t times(const std::string& text, std::string_view part) {
    std::size_t found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++found;
    return found;
}

/// A run of two stages, written as penstock writes it.
class ReportTest : public ::testing::Test {
protected:
    ReportTest() {
        for (const char* each : {"peers", "logs", "results"}) fs::create_directories(run / each);
        const auto self = ProcessIdentity::here();
        about = {{"pipeline", "line"},
                 {"host", self.host},
                 {"world", self.world},
                 {"pid", self.pid},
                 {"process_started", self.started},
                 {"started_at", "2026-01-02T03:04:05Z"}};
        plan = {{"pipeline", "line"}, {"stages", Json::array()}, {"channels", Json::array()}, {"ranks", Json::array()}};
        status = {{"pipeline", "line"}, {"state", "completed"},    {"exit_code", 0},           {"error", ""},
                  {"elapsed_s", 2.0},   {"stages", Json::array()}, {"channels", Json::array()}};
        peers = {{"all_stages", Json::object()}};
    }

    void add_stage(const std::string& name, const std::string& kind, int instances) {
        plan["stages"].push_back({{"name", name},
                                  {"operator", name + "_operator"},
                                  {"kind", kind},
                                  {"params", {{"rate", 7}}},
                                  {"instances", instances}});
        Json stage{{"name", name},
                   {"operator", name + "_operator"},
                   {"counters", {{"records", 41}}},
                   {"instances", Json::array()}};
        for (int i = 0; i < instances; ++i) {
            const int rank = next_rank++;
            stage["instances"].push_back({{"instance", i},
                                          {"rank", rank},
                                          {"state", "done"},
                                          {"utilization", 0.25},
                                          {"time_s", {{"operator", 0.5}, {"no_credit", 1.5}}}});
            peers["all_stages"][name].push_back({{"stage_id", name},
                                                 {"index", i},
                                                 {"rank", rank},
                                                 {"node", "node7"},
                                                 {"instance_id", "node7:" + std::to_string(4000 + rank)},
                                                 {"transport", "shm"}});
            plan["ranks"].push_back({{"rank", rank}, {"stage", name}});
        }
        status["stages"].push_back(stage);
    }

    void add_channel(const std::string& from, const std::string& to) {
        const std::string name = from + "-" + to;
        plan["channels"].push_back({{"name", name}, {"from", from}, {"to", to}, {"route", "balance"}});
        status["channels"].push_back({{"name", name},
                                      {"published", 50},
                                      {"delivered", 48},
                                      {"settled", 48},
                                      {"dropped", 2},
                                      {"bytes", 3 << 20},
                                      {"stalled_s", {{"no_credit", 1.25}}}});
    }

    void line() {
        add_stage("source", "source", 1);
        add_stage("drain", "sink", 2);
        add_channel("source", "drain");
        status["stages"][1]["latency_us"] = {{"count", 48},
                                             {"p50", 100.0},
                                             {"p90", 200.0},
                                             {"p99", 900.0},
                                             {"p999", 950.0},
                                             {"max", 1000.0},
                                             {"at_most", {{"1.024", 0}, {"131.072", 24}, {"1048.576", 48}}}};
    }

    void write(const std::string& name, const std::string& text) const {
        std::ofstream{run / name, std::ios::binary} << text;
    }

    void write_all() const {
        write("run.json", about.dump());
        write("plan.json", plan.dump());
        write("status.json", status.dump());
        write("peers/source.0.json", peers.dump());
    }

    [[nodiscard]] static std::string log_line(const std::string& second, const std::string& level,
                                              const std::string& message) {
        return "{\"time\":\"2026-01-02T03:04:" + second + "Z\",\"level\":\"" + level +
               "\",\"label\":\"x\",\"message\":" + Json(message).dump() + ",\"rows\":3}\n";
    }

    [[nodiscard]] RunReport read() const { return read_report(run.string()); }

    test::ScratchFolder folder;
    fs::path run = fs::path{folder.path()} / "line-1";
    Json about, plan, status, peers;
    int next_rank = 1;
};

TEST(Html, EscapesWhatWouldBeMarkupOrSteerATerminalOrIsNoText) {
    EXPECT_EQ(escaped("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;");
    EXPECT_EQ(escaped(std::string_view{"\0\x1b[2J\x7f\n", 7}), "\\x00\\x1b[2J\\x7f\n");
    EXPECT_EQ(escaped("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    const std::string bad = "\xEF\xBF\xBD";
    for (const char* text : {"\xff", "\xc3", "\xc0", "\xe2\x82", "\xf5"})
        EXPECT_THAT(escaped(text), HasSubstr(bad)) << text;
    EXPECT_EQ(escaped("\xed\xa0\x80"), bad + bad + bad);  // half of a surrogate pair
    EXPECT_EQ(escaped("\xc3<"), bad + "&lt;");            // the byte after half a code point is not swallowed
}

TEST(Html, ShortensAtTheEndOfACodePoint) {
    EXPECT_EQ(shortened("abc", 3), "abc");
    EXPECT_EQ(shortened("\xc3\xa9\xc3\xa9\xc3\xa9", 2), "\xc3\xa9\xc3\xa9\xe2\x80\xa6");
    EXPECT_EQ(shortened("\xff\xff\xff", 2), "\xff\xff\xe2\x80\xa6");
}

TEST_F(ReportTest, ReadsAllThereIsOfARun) {
    line();
    about["environment"] = {{"OMP_NUM_THREADS", "4"}};
    write_all();
    write("logs/drain.1.jsonl",
          log_line("07", "info", "fine") + log_line("09", "warn", "slow") + log_line("10", "error", "bad"));
    fs::create_directory(run / "results" / "deep");
    write("results/deep/out.csv", "12345");

    const RunReport report = read();

    EXPECT_THAT(report.problems, IsEmpty());
    ASSERT_THAT(report.stages, SizeIs(2));
    EXPECT_EQ(report.stages[1].instances, 2);
    EXPECT_DOUBLE_EQ(report.stages[1].time_s[0], 1.0);
    EXPECT_DOUBLE_EQ(report.stages[1].time_s[3], 3.0);
    ASSERT_TRUE(report.stages[1].latency);
    EXPECT_EQ(report.stages[1].latency->p99_us, 900);
    EXPECT_THAT(report.stages[1].latency->at_most, SizeIs(3));
    ASSERT_THAT(report.channels, SizeIs(1));
    EXPECT_EQ(report.channels[0].dropped, 2);
    ASSERT_THAT(report.instances, SizeIs(3));
    EXPECT_EQ(report.instances[2].process, "node7:4003");
    ASSERT_THAT(report.logs, SizeIs(1));
    EXPECT_EQ(report.logs[0].lines, 3);
    EXPECT_EQ(report.logs[0].last_ns - report.logs[0].first_ns, 3'000'000'000);
    ASSERT_THAT(report.messages, SizeIs(2));
    EXPECT_EQ(report.messages[1].text, "bad  rows=3");
    ASSERT_THAT(report.results, SizeIs(1));
    EXPECT_EQ(report.results[0].name, "deep/out.csv");
    EXPECT_EQ(report.results[0].bytes, 5);
    EXPECT_THAT(report.environment, ElementsAre(NamedText{"OMP_NUM_THREADS", "4"}));
}

TEST_F(ReportTest, ShowsAllOfIt) {
    line();
    about["environment"] = {{"OMP_NUM_THREADS", "4"}};
    write_all();
    write("logs/drain.1.jsonl", log_line("07", "info", "fine") + log_line("10", "error", "bad disk"));
    write("results/out.csv", "12345");

    const std::string text = page(read());

    for (const char* expected : {"<h2>Graph</h2>",
                                 "<h2>Timeline</h2>",
                                 "<h2>Throughput</h2>",
                                 "<h2>Where the time went</h2>",
                                 "<h2>Latency</h2>",
                                 "<h2>Warnings and errors</h2>",
                                 "<h2>Placement</h2>",
                                 "<h2>Results</h2>",
                                 "<h2>Configuration</h2>",
                                 "line-1",
                                 "completed",
                                 "source_operator",
                                 "41",
                                 "900 us",
                                 "bad disk",
                                 "node7:4002",
                                 "shm",
                                 "out.csv",
                                 "OMP_NUM_THREADS",
                                 "&quot;rate&quot;:7",
                                 "24/s",
                                 "1.5 MiB/s",
                                 "1.2 s"}) {
        EXPECT_THAT(text, HasSubstr(expected)) << expected;
    }
    EXPECT_EQ(times(text, "<svg"), times(text, "</svg>"));
    EXPECT_EQ(times(text, "<svg"), 4);
}

TEST_F(ReportTest, ShowsWhatCompressionCameToWhereThereIsSome) {
    line();
    write_all();
    EXPECT_THAT(page(read()), Not(HasSubstr("compressing channel")));
    status["channels"][0]["compression"] = {{"codec", "zstd"},        {"level", 3},      {"bytes_before", 3 << 20},
                                            {"bytes_after", 2 << 10}, {"ratio", 1536.0}, {"raw_payloads", 7}};
    write_all();

    const RunReport report = read();

    EXPECT_EQ(report.channels[0].codec, "zstd");
    EXPECT_EQ(report.channels[0].bytes_after, 2048);
    EXPECT_EQ(report.channels[0].raw_payloads, 7);
    EXPECT_THAT(page(report), AllOf(HasSubstr("compressing channel"), HasSubstr("1536.00")));
}

TEST_F(ReportTest, NeedsNothingFromElsewhere) {
    line();
    write_all();

    const std::string text = page(read());

    EXPECT_THAT(text, HasSubstr("default-src 'none'"));
    for (const char* unwanted : {"<script", "http://", "https://", "src=", "href=", "url(h", "@import"})
        EXPECT_THAT(text, Not(HasSubstr(unwanted))) << unwanted;
}

TEST_F(ReportTest, LetsNoTextOfTheRunBecomeMarkup) {
    add_stage(attack, attack, 1);
    add_stage("drain", "sink", 1);
    add_channel(attack, "drain");
    for (Json* each : {&about, &status}) (*each)["pipeline"] = attack;
    status["state"] = std::string{attack};
    status["error"] = attack;
    status["stages"][0]["counters"] = {{attack, attack}};
    status["stages"][0]["instances"][0]["state"] = attack;
    about["environment"] = {{attack, attack}};
    about[attack] = attack;
    peers["all_stages"][attack][0]["node"] = attack;
    plan["stages"][0]["params"] = {{attack, attack}};
    run = fs::path{folder.path()} / "line-<b>-1";
    for (const char* each : {"peers", "logs", "results"}) fs::create_directories(run / each);
    write_all();
    write("logs/<i>.0.jsonl", log_line("07", "error", attack) + "<b>half a line");
    write("results/<u>.csv", "");

    const std::string text = page(read());

    for (const char* unwanted : {"<script", "<b>", "<i>", "<u>", "alert('"})
        EXPECT_THAT(text, Not(HasSubstr(unwanted)));
    EXPECT_GT(times(text, "&lt;script&gt;"), 12);
}

TEST_F(ReportTest, SaysWhichFilesAreMissing) {
    fs::remove_all(run);
    fs::create_directory(run);

    const RunReport report = read();

    EXPECT_EQ(report.run.state, "unknown");
    for (const char* expected :
         {"run.json is missing", "plan.json is missing", "status.json is missing", "peers/", "the logs"})
        EXPECT_THAT(report.problems, Contains(HasSubstr(expected)));
    EXPECT_THAT(page(report), AllOf(HasSubstr("plan.json is missing"), HasSubstr("</html>")));
}

TEST_F(ReportTest, SaysWhichFilesAreBrokenAndShowsTheRest) {
    line();
    const std::string whole = status.dump();
    for (const char* broken :
         {"", "{", "[]", "null", "\xff", "{\"stages\": 7, \"channels\": {\"a\": []}}",
          R"({"stages": [7, null, {"name": 3, "instances": [[], {"rank": -1, "utilization": 1e999}]}]})"}) {
        for (const char* name : {"run.json", "plan.json", "status.json", "peers/source.0.json"}) {
            write_all();
            write("logs/drain.0.jsonl", log_line("07", "warn", "still here"));
            write(name, broken);

            EXPECT_THAT(page(read()), AllOf(HasSubstr("still here"), HasSubstr("</html>"))) << name << ": " << broken;
        }
    }
    write_all();
    write("status.json", whole.substr(0, 50));
    const RunReport torn = read();
    EXPECT_THAT(torn.problems, Contains(HasSubstr("status.json is missing or broken")));
    EXPECT_THAT(torn.stages, SizeIs(2)) << "the plan has them";
}

TEST_F(ReportTest, TakesTheLastFiguresWhereTheStatusIsBroken) {
    line();
    write_all();
    write("stats.json", status.dump());
    write("status.json", "{");

    EXPECT_EQ(read().channels.at(0).delivered, 48);
}

TEST_F(ReportTest, DoesNotWaitForWhatStandsInAFilesPlace) {
    line();
    write_all();
    for (const char* name : {"plan.json", "status.json", "peers/source.0.json", "logs/x.jsonl", "results/pipe"}) {
        fs::remove(run / name);
        ASSERT_EQ(mkfifo((run / name).c_str(), 0600), 0);
    }

    EXPECT_THAT(page(read()), HasSubstr("</html>"));
}

TEST_F(ReportTest, IsNotLedOutOfTheResultsByALink) {
    line();
    write_all();
    fs::create_directory_symlink("/etc", run / "results" / "away");
    fs::create_symlink("/etc/passwd", run / "results" / "file");

    EXPECT_THAT(read().results, IsEmpty());
}

TEST_F(ReportTest, OfACrashedRunSaysThatItIsLostAndCountsTheTornLines) {
    line();
    status["state"] = "running";
    about["pid"] = 0x3ffffff;  // nobody has it
    write_all();
    write("logs/drain.0.jsonl", log_line("07", "info", "fine") + "{\"time\":\"2026-01-02T03:0");

    const RunReport report = read();

    EXPECT_EQ(report.run.state, "lost");
    EXPECT_EQ(report.logs.at(0).broken, 1);
    EXPECT_THAT(page(report),
                AllOf(HasSubstr("is gone and has not said how the run ended"), HasSubstr("1 lines are no JSON")));
}

TEST_F(ReportTest, OfARunUnderWaySaysSo) {
    line();
    status["state"] = "running";
    write_all();

    EXPECT_THAT(page(read()), HasSubstr("The run goes on"));
}

TEST_F(ReportTest, KeepsErrorsRatherThanWarningsOfAFloodOfBoth) {
    line();
    write_all();
    for (int file = 0; file < 30; ++file) {
        std::string text;
        for (int i = 0; i < 300; ++i) text += log_line("07", "warn", "w");
        write("logs/drain." + std::to_string(file) + ".jsonl", text + log_line("08", "error", "the reason"));
    }

    const RunReport report = read();

    EXPECT_THAT(report.messages, SizeIs(RunReport::most_messages));
    EXPECT_EQ(std::count_if(report.messages.begin(), report.messages.end(), [](auto& each) { return each.is_error; }),
              30);
    EXPECT_THAT(page(report), HasSubstr("500 of 9030"));
}

TEST_F(ReportTest, OfAThousandInstancesStaysSmall) {
    add_stage("source", "source", 200);
    add_stage("drain", "sink", 800);
    add_channel("source", "drain");
    write_all();
    for (int i = 0; i < 800; ++i)
        write("logs/drain." + std::to_string(i) + ".jsonl", log_line("07", "info", "a") + log_line("08", "warn", "b"));

    const std::string text = page(read());

    EXPECT_LT(text.size(), 500'000U);
    EXPECT_THAT(text, HasSubstr("drain.799"));
    EXPECT_LT(times(text, "<rect"), 100U) << "many processes are drawn by stage";
}

TEST(Charts, OfABrokenPlanWithACycleOrAStageThatFeedsItselfEnd) {
    RunReport report;
    report.stages = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
    report.channels = {{.name = "1", .from = "a", .to = "b"},
                       {.name = "2", .from = "b", .to = "a"},
                       {.name = "3", .from = "c", .to = "c"},
                       {.name = "4", .from = "c", .to = "nobody"}};

    EXPECT_EQ(times(draw_graph(report), "<path class=\"edge"), 3);
}

TEST(Charts, OfNothingAreNothing) {
    EXPECT_EQ(draw_graph({}), "");
    EXPECT_EQ(draw_timeline({}), "");
    EXPECT_EQ(draw_times({}), "");
    EXPECT_EQ(draw_histogram({}), "");
    EXPECT_EQ(draw_histogram({.at_most = {{1, 0}, {2, 0}}}), "");
}

TEST(Charts, ABarOfTheHistogramIsWhatCameWithItsBound) {
    const std::string svg = draw_histogram({.at_most = {{1, 0}, {2, 10}, {4, 10}, {8, 30}, {16, 30}}});

    EXPECT_EQ(times(svg, "<rect"), 3) << "from the first to the last that has any";
    EXPECT_THAT(svg, AllOf(HasSubstr("10 up to 2 us"), HasSubstr("0 up to 4 us"), HasSubstr("20 up to 8 us")));
}

}  // namespace
}  // namespace penstock::report
