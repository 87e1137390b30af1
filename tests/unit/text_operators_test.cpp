#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "support/fake_runtime.hpp"

namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using test::params;
using testing::ElementsAre;
using testing::HasSubstr;

ParamValue number(std::int64_t value) {
    return ParamValue{value};
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream{text};
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

// --- records ---

std::vector<Payload> produce_all(const Params& given, FakeContext& context, FakeOutput& out) {
    const auto source = make_builtin<Source>("records", given, context);
    while (source->produce(out)) continue;
    source->finish();
    return std::exchange(out.emitted, {});
}

TEST(Records, AreLinesOfIdValueAndTimestamp) {
    FakeContext context;
    FakeOutput out;

    const auto batches = produce_all(params({{"batch_size", number(3)}, {"total_batches", number(2)}}), context, out);

    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(batches[1].format(), Format::csv);
    EXPECT_EQ(batches[1].dtype(), DType::text);
    EXPECT_EQ(batches[1].metadata().integer("records"), 3);
    EXPECT_EQ(batches[1].metadata().integer("batch"), 1);
    const auto lines = split(std::string{batches[1].text()}, '\n');
    EXPECT_THAT(lines, ElementsAre(testing::MatchesRegex("3,4\\.5,[0-9]+\\.[0-9][0-9][0-9][0-9][0-9][0-9]"),
                                   testing::StartsWith("4,6.0,"), testing::StartsWith("5,7.5,")));
    EXPECT_NE(batches[1].text().back(), '\n');
}

TEST(Records, ReachLargeIdsExactly) {
    FakeContext context;
    FakeOutput out;

    const auto batches = produce_all(
        params({{"batch_size", number(2)}, {"total_batches", number(1)}, {"first_id", number(999'999'999'999'999)}}),
        context, out);

    EXPECT_THAT(split(std::string{batches[0].text()}, '\n'),
                ElementsAre(testing::StartsWith("999999999999999,1499999999999998.5,"),
                            testing::StartsWith("1000000000000000,1500000000000000.0,")));
}

TEST(Records, AreSharedByTheInstancesSoThatEachIdAppearsOnce) {
    std::vector<int> ids;
    for (int instance = 0; instance < 3; ++instance) {
        FakeContext context;
        FakeOutput out;
        context.instance_number = instance;
        context.instance_count = 3;
        const Params given = params({{"batch_size", number(4)}, {"total_batches", number(8)}});
        for (const auto& batch : produce_all(given, context, out)) {
            for (const auto& line : split(std::string{batch.text()}, '\n')) ids.push_back(std::stoi(line));
        }
    }

    std::sort(ids.begin(), ids.end());
    std::vector<int> all(32);
    for (int i = 0; i < 32; ++i) all[static_cast<std::size_t>(i)] = i;
    EXPECT_EQ(ids, all);
}

TEST(Records, MayLeaveAnInstanceWithNothingToDo) {
    FakeContext context;
    FakeOutput out;
    context.instance_number = 2;
    context.instance_count = 3;

    EXPECT_TRUE(produce_all(params({{"total_batches", number(2)}}), context, out).empty());
}

TEST(Records, TellTheirProgress) {
    FakeContext context;
    FakeOutput out;
    context.downstream = 2;

    produce_all(params({{"batch_size", number(10)}, {"total_batches", number(20)}}), context, out);

    EXPECT_THAT(context.logger.messages(),
                ElementsAre("Expecting 2 downstream consumers", "All consumers connected. Streaming 20 batches...",
                            testing::MatchesRegex("Sent batch 10/20 \\([0-9]+ records/sec\\)"),
                            testing::MatchesRegex("Sent batch 20/20 \\([0-9]+ records/sec\\)"),
                            "Streaming complete. Closing connections...",
                            testing::MatchesRegex("Sent 200 records in [0-9]+\\.[0-9]+s \\([0-9]+ records/sec\\)")));
    EXPECT_EQ(context.counters["records"], 200U);
}

TEST(Records, KeepToDeadlinesThatDoNotDrift) {
    using std::chrono::milliseconds;
    FakeContext context;
    FakeOutput out;

    produce_all(params({{"total_batches", number(4)}, {"interval", ParamValue{std::string{"250ms"}}}}), context, out);

    ASSERT_EQ(context.waits.size(), 4U);
    for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(context.waits[i] - context.waits[0], milliseconds{250 * i});
}

TEST(Records, WithoutEndGoOnUntilTheRunStops) {
    FakeContext context;
    FakeOutput out;
    const auto source = make_builtin<Source>(
        "records", params({{"total_batches", number(0)}, {"interval", number(1)}, {"batch_size", number(1)}}), context);

    for (int i = 0; i < 500; ++i) ASSERT_TRUE(source->produce(out));
    context.stopping = true;

    EXPECT_FALSE(source->produce(out));
    EXPECT_EQ(out.emitted.size(), 500U);
    EXPECT_EQ(context.logger.messages()[1], "All consumers connected. Streaming endless batches...");
}

TEST(Records, TakeTheirSizesFromTheEnvironment) {
    const Registry registry = Registry::with_builtins();
    const Params completed = registry.complete(*registry.find("records"), params({{"batch_size", number(7)}}),
                                               {{"BATCH_SIZE", "10"}, {"TOTAL_BATCHES", "20"}});

    EXPECT_EQ(completed.get<std::int64_t>("batch_size"), 7);
    EXPECT_EQ(completed.get<std::int64_t>("total_batches"), 20);
}

// --- scale_records ---

struct Scaled {
    std::string text;
    std::uint64_t malformed = 0;
    std::vector<std::string> log;
};

Scaled scaled(const std::string& text, double factor = 2.0) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("scale_records", params({{"factor", ParamValue{factor}}}), context);
    processor->process(out.text(text), out);
    processor->finish(out);
    EXPECT_EQ(out.emitted.size(), 1U);
    return {std::string{out.emitted.at(0).text()}, context.counters["malformed"], context.logger.messages()};
}

TEST(ScaleRecords, MultipliesTheValuesAndLeavesTheRestAlone) {
    EXPECT_EQ(scaled("0,0.0,17.000001\n1,1.5,17.000001\n2,3.0,17.000002").text,
              "0,0.0,17.000001\n1,3.0,17.000001\n2,6.0,17.000002");
    EXPECT_EQ(scaled("x,1,t", 0.1).text, "x,0.1,t");
    EXPECT_EQ(scaled("x,1e300,t", 1e10).text, "x,inf,t");
    EXPECT_EQ(scaled(",3,", -1.5).text, ",-4.5,");
}

TEST(ScaleRecords, TakesEveryKindOfLineEnd) {
    EXPECT_EQ(scaled("1,1.5,t\n2,3.0,t\n").text, "1,3.0,t\n2,6.0,t");
    EXPECT_EQ(scaled("1,1.5,t\r\n2,3.0,t").text, "1,3.0,t\n2,6.0,t");
    EXPECT_EQ(scaled("1,1.5,t\r\n2,3.0,t\r\n").text, "1,3.0,t\n2,6.0,t");
    EXPECT_EQ(scaled("").text, "");
    EXPECT_EQ(scaled("").malformed, 0U);
}

TEST(ScaleRecords, HandlesLinesOfEveryLengthAtEveryPlace) {
    std::string text;
    std::string expected;
    for (std::size_t length = 0; length < 200; ++length) {
        const std::string separator = length == 0 ? "" : "\n";
        text += separator + std::string(length, 'i') + ",2.5," + std::string(length % 7, 't');
        expected += separator + std::string(length, 'i') + ",5.0," + std::string(length % 7, 't');
    }

    EXPECT_EQ(scaled(text).text, expected);
}

TEST(ScaleRecords, HasRoomForNumbersThatGrow) {
    std::string text = ",1,";
    for (int i = 0; i < 1000; ++i) text += "\n,1,";

    const auto result = scaled(text, -1.2345678901234568e-300);

    EXPECT_EQ(split(result.text, '\n').size(), 1001U);
    EXPECT_EQ(split(result.text, '\n').back(), ",-1.2345678901234568e-300,");
}

TEST(ScaleRecords, DropsMalformedRecordsAndSaysWhere) {
    const auto result =
        scaled("record_id,value,timestamp\n1,1.5,t\n2,3.0\n3,4.5,t,extra\n\n4,x,t\n5,,t\n6,9.0,t\n7,nope,t");

    EXPECT_EQ(result.text, "1,3.0,t\n6,18.0,t");
    EXPECT_EQ(result.malformed, 7U);
    ASSERT_EQ(result.log.size(), 7U);
    EXPECT_EQ(result.log[0],
              "Malformed record at payload 0 of rank 1, line 1: its value is no number: \"record_id,value,timestamp\"");
    EXPECT_EQ(result.log[1], "Malformed record at payload 0 of rank 1, line 3: it has not 3 fields: \"2,3.0\"");
    EXPECT_THAT(result.log[3], HasSubstr("line 5: it has not 3 fields: \"\""));
    EXPECT_EQ(result.log[5], "Dropped 7 malformed records (first at payload 0 of rank 1, line 1)");
}

TEST(ScaleRecords, EmitsAnEmptyPayloadWhenNothingIsLeft) {
    EXPECT_EQ(scaled("nonsense").text, "");
    EXPECT_EQ(scaled("nonsense").malformed, 1U);
}

TEST(ScaleRecords, HandsOnTheBatchNumberAndCountsRecords) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("scale_records", {}, context);
    auto draft = out.draft<char>(7);
    std::copy_n("1,1.5,t", 7, draft.begin());
    draft.set("batch", 42);
    draft.set("records", 99);

    processor->process(out.sealed(std::move(draft)), out);

    EXPECT_EQ(out.emitted[0].metadata().integer("batch"), 42);
    EXPECT_EQ(out.emitted[0].metadata().integer("records"), 1);
    EXPECT_EQ(out.emitted[0].format(), Format::csv);
    EXPECT_EQ(context.counters["records"], 1U);
}

TEST(ScaleRecords, TellsItsProgress) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("scale_records", {}, context);

    for (int i = 0; i < 10; ++i) processor->process(out.text("1,1.5,t"), out);
    processor->finish(out);

    EXPECT_THAT(context.logger.messages(),
                ElementsAre("Received 10 batches from upstream", "Processed and forwarded 10 batches",
                            "Finished processing 10 batches"));
}

TEST(ScaleRecords, CountsPayloadsThatAreNoText) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>("scale_records", {}, context);

    processor->process(out.vector<double>({1.0}), out);

    EXPECT_TRUE(out.emitted.empty());
    EXPECT_EQ(context.counters["malformed"], 1U);
}

// --- csv_sink ---

class CsvSink : public testing::Test {
protected:
    CsvSink() {
        std::string name = testing::TempDir() + "penstock-csv-XXXXXX";
        context_.results = mkdtemp(name.data());
    }
    ~CsvSink() override { std::filesystem::remove_all(context_.results); }

    std::unique_ptr<Sink> make(const Params& given = {}) { return make_builtin<Sink>("csv_sink", given, context_); }
    [[nodiscard]] Params output(const std::string& name) const { return params({{"output", ParamValue{name}}}); }
    [[nodiscard]] std::string path() const { return context_.results + "/results.csv"; }
    [[nodiscard]] std::string file() const {
        std::ifstream stream{path()};
        return {std::istreambuf_iterator<char>{stream}, {}};
    }
    template <class Action>
    void expect_failure(const Action& action, Errc code, const std::string& text) {
        try {
            action();
            ADD_FAILURE() << "no error";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code);
            EXPECT_THAT(error.what(), HasSubstr(text));
        }
    }

    FakeContext context_;
    FakeOutput out_;
};

const std::string header = "record_id,value,timestamp\n";

TEST_F(CsvSink, WritesAHeaderAndEachPayloadAtOnce) {
    const auto sink = make();
    EXPECT_EQ(file(), header);

    sink->consume(out_.text("0,0.0,t\n1,3.0,t"));
    EXPECT_EQ(file(), header + "0,0.0,t\n1,3.0,t\n");

    sink->consume(out_.text("2,6.0,t\n"));
    sink->consume(out_.text(""));
    sink->consume(out_.text("3,9.0,t"));
    EXPECT_EQ(file(), header + "0,0.0,t\n1,3.0,t\n2,6.0,t\n3,9.0,t\n");
    EXPECT_EQ(context_.counters["records"], 4U);
}

TEST_F(CsvSink, ReplacesAnOlderFile) {
    std::ofstream{path()} << "something long that was there before, much longer than the header line";

    make()->finish();

    EXPECT_EQ(file(), header);
}

TEST_F(CsvSink, KeepsNoPayload) {
    const auto sink = make();
    const std::size_t before = out_.used_bytes();

    sink->consume(out_.text("0,0.0,t"));

    EXPECT_EQ(out_.used_bytes(), before);
}

TEST_F(CsvSink, DropsMalformedRecordsAndSaysWhere) {
    const auto sink = make();

    sink->consume(out_.text("0,0.0,t"));
    sink->consume(out_.text("1,3.0,t\n2,6.0\n\n3,9.0,t\n4,1,2,3"));
    sink->finish();

    EXPECT_EQ(file(), header + "0,0.0,t\n1,3.0,t\n3,9.0,t\n");
    EXPECT_EQ(context_.counters["records"], 3U);
    EXPECT_EQ(context_.counters["malformed"], 3U);
    const auto log = context_.logger.messages();
    EXPECT_EQ(log[0], "Malformed record at payload 1 of rank 1, line 2: it has not 3 fields: \"2,6.0\"");
    EXPECT_EQ(log[3], "Dropped 3 malformed records (first at payload 1 of rank 1, line 2)");
}

TEST_F(CsvSink, WritesMoreGoodRecordsAroundBadOnesThanOneCallTakes) {
    std::string text;
    std::string expected = header;
    for (int i = 0; i < 5000; ++i) {
        const std::string record = std::to_string(i) + ",1.0,t\n";
        text += record + "bad\n";
        expected += record;
    }
    const auto sink = make();

    sink->consume(out_.text(text));

    EXPECT_EQ(file(), expected);
    EXPECT_EQ(context_.counters["malformed"], 5000U);
}

TEST_F(CsvSink, CountsFieldsByTheHeader) {
    const auto sink = make(params({{"header", ParamValue{std::string{"a,b"}}}}));

    sink->consume(out_.text("1,2\n1,2,3"));

    EXPECT_EQ(file(), "a,b\n1,2\n");
    EXPECT_EQ(context_.counters["malformed"], 1U);
}

TEST_F(CsvSink, WithoutAHeaderTakesAnyLine) {
    const auto sink = make(params({{"header", ParamValue{std::string{}}}}));

    sink->consume(out_.text("1,2\nanything"));

    EXPECT_EQ(file(), "1,2\nanything\n");
    EXPECT_EQ(context_.counters["malformed"], 0U);
}

TEST_F(CsvSink, TellsItsProgressAndASummary) {
    const auto sink = make();
    for (int i = 0; i < 10; ++i) sink->consume(out_.text("1,1.5,t\n2,3.0,t"));
    sink->finish();

    EXPECT_THAT(context_.logger.messages(),
                ElementsAre(testing::MatchesRegex("Received 10 batches, 20 records \\([0-9]+ records/sec\\)"),
                            "Consumer finished:", "  Total batches: 10", "  Total records: 20",
                            testing::MatchesRegex("  Duration: [0-9]+\\.[0-9]+s"),
                            testing::MatchesRegex("  Rate: [0-9]+ records/sec"), "  Output: " + path()));
}

TEST_F(CsvSink, SaysWhyItCannotCreateItsFile) {
    expect_failure([&] { make(output("missing/r.csv")); }, Errc::invalid_input, "No such file or directory");
    expect_failure([&] { make(output(context_.results)); }, Errc::invalid_input, "Is a directory");
    expect_failure([&] { make(output("/proc/r.csv")); }, Errc::invalid_input, "set \"output\" to a file");
}

TEST_F(CsvSink, FailsOnAFullDevice) {
    expect_failure([&] { make(output("/dev/full")); }, Errc::exhausted, "No space left on device");
}

TEST_F(CsvSink, KeepsOnlyWholePayloadsWhenTheFileMayNotGrow) {
    const auto sink = make();
    sink->consume(out_.text("0,0.0,t"));
    const std::string whole = file();
    const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
    rlimit old_limit{};
    getrlimit(RLIMIT_FSIZE, &old_limit);
    const rlimit tight{whole.size() + 5, old_limit.rlim_max};

    setrlimit(RLIMIT_FSIZE, &tight);
    expect_failure([&] { sink->consume(out_.text("1,3.0,t\n2,6.0,t")); }, Errc::exhausted,
                   "it keeps what was complete (" + std::to_string(whole.size()) + " bytes)");
    setrlimit(RLIMIT_FSIZE, &old_limit);
    std::signal(SIGXFSZ, old_action);

    EXPECT_EQ(file(), whole);
}

}  // namespace
}  // namespace penstock
