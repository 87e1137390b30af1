#include <cmath>
#include <filesystem>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "error_of.hpp"
#include "operators/json_text.hpp"
#include "support/fake_runtime.hpp"
#include "support/file_size_limit.hpp"
#include "support/naive_csv.hpp"
#include "support/scratch_folder.hpp"

namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using test::params;
using test::ScratchFolder;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

ParamValue number(std::int64_t value) {
    return ParamValue{value};
}
ParamValue word(std::string value) {
    return ParamValue{std::move(value)};
}
ParamValue list(std::initializer_list<const char*> words) {
    ParamValue::List items;
    for (const char* item : words) items.emplace_back().value = std::string{item};
    return ParamValue{std::move(items)};
}
ParamValue list(std::initializer_list<std::int64_t> numbers) {
    ParamValue::List items;
    for (const std::int64_t item : numbers) items.emplace_back().value = item;
    return ParamValue{std::move(items)};
}

void expect_failure(const std::function<void()>& call, Errc code, const std::string& words) {
    const Error error = error_of(call);
    EXPECT_EQ(error.code(), code);
    EXPECT_THAT(error.what(), HasSubstr(words));
}

class FileOperators : public testing::Test {
protected:
    FileOperators() { context_.results = folder_.path(); }

    /// Everything that one instance of a source emits.
    std::vector<Payload> produce(std::string_view name, const Params& given) {
        const auto source = make_builtin<Source>(name, given, context_);
        while (source->produce(out_)) continue;
        EXPECT_FALSE(source->produce(out_));
        source->finish();
        return std::exchange(out_.emitted, {});
    }
    std::vector<std::string> produce_texts(const Params& given) {
        std::vector<std::string> texts;
        for (const Payload& batch : produce("csv_source", given)) texts.emplace_back(batch.text());
        return texts;
    }
    void expect_refused(std::string_view name, const Params& given, const std::string& words) {
        expect_failure([&] { produce(name, given); }, Errc::invalid_input, words);
    }

    ScratchFolder folder_;
    FakeContext context_;
    FakeOutput out_;
};

// --- csv_source: text ---

class CsvSource : public FileOperators {
protected:
    ParamValue file(std::string_view text) { return word(folder_.write("in.csv", text)); }
};

TEST_F(CsvSource, EmitsRowsInBatchesWithTheNamesOfTheirColumns) {
    const auto batches =
        produce("csv_source", params({{"input", file("a,b\n1,2\r\n\"x,\ny\",4\n5,6\n")}, {"batch_rows", number(2)}}));

    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(batches[0].text(), "1,2\n\"x,\ny\",4");
    EXPECT_EQ(batches[1].text(), "5,6");
    EXPECT_EQ(batches[0].format(), Format::csv);
    EXPECT_EQ(batches[0].dtype(), DType::text);
    EXPECT_EQ(batches[0].metadata().integer("records"), 2);
    EXPECT_EQ(batches[1].metadata().integer("byte"), 18);
    EXPECT_EQ(batches[1].metadata().string("columns"), "a,b");
    EXPECT_EQ(context_.counters["records"], 3U);
}

TEST_F(CsvSource, EndsABatchWhereTheNextRowDoesNotFit) {
    EXPECT_THAT(
        produce_texts(params({{"input", file("a,b\n1,2\n3,4\nlong,row\n5,6\n7,8")}, {"batch_bytes", number(7)}})),
        ElementsAre("1,2\n3,4", "long,row", "5,6\n7,8"));
}

TEST_F(CsvSource, TakesMemoryForTheRowsThatThereAre) {
    std::string rows;
    for (int i = 0; i < 3000; ++i)
        rows += std::to_string(i) + "," + std::string(static_cast<std::size_t>(i / 50), 'x') + "\n";
    rows.pop_back();
    const std::string input = folder_.write("grows.csv", "a,b\n" + rows);
    const ParamValue path{input};

    EXPECT_THAT(produce_texts(params({{"input", path}, {"batch_rows", number(10'000)}})), ElementsAre(rows));

    const std::size_t before = out_.used_bytes();
    const auto batches = produce("csv_source", params({{"input", path}, {"batch_rows", number(10)}}));
    ASSERT_EQ(batches.size(), 300U);
    EXPECT_LT(out_.used_bytes() - before, 4 * rows.size()) << "300 times batch_bytes are 75 MiB";
}

TEST_F(CsvSource, KeepsTheColumnsThatAreAskedFor) {
    const Params given =
        params({{"input", file("a,\"b,1\",c\n1,\"2\"\"\",3\n4,,6\n")}, {"columns", list({"c", "b,1"})}});

    const auto batches = produce("csv_source", given);

    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(batches[0].text(), "3,\"2\"\"\"\n6,");
    EXPECT_EQ(batches[0].metadata().string("columns"), "c,\"b,1\"");
    EXPECT_THAT(
        produce_texts(params({{"input", file("1,2\n3,4\n")}, {"header", ParamValue{false}}, {"columns", list({"2"})}})),
        ElementsAre("2\n4"));
    EXPECT_THAT(produce_texts(params({{"input", file("a,b\n,2\nx,4\n")}, {"columns", list({"a"})}})),
                ElementsAre("\"\"\nx"));
}

TEST_F(CsvSource, PutsOtherDialectsIntoCommasAndQuotes) {
    EXPECT_THAT(
        produce_texts(params(
            {{"input", file("a;b\n1,5;'x;y'\n2;'it''s \"'\n")}, {"delimiter", word(";")}, {"quote", word("'")}})),
        ElementsAre("\"1,5\",x;y\n2,\"it's \"\"\""));
    EXPECT_THAT(produce_texts(params({{"input", file("a\tb\n1\t2\n")}, {"delimiter", word("tab")}})),
                ElementsAre("1,2"));
}

TEST_F(CsvSource, LocatesAndKeepsBadRows) {
    const Params given = params({{"input", file("a,b\n1,2\nx,y\n3\n\"p\"q,4\n\xFFz,5\n6,7\n")},
                                 {"types", list({"i64", "text"})},
                                 {"dead_letter", word("bad.jsonl")}});

    EXPECT_THAT(produce_texts(given), ElementsAre("1,2\n6,7"));

    EXPECT_EQ(context_.counters["malformed"], 4U);
    EXPECT_EQ(context_.counters["records"], 2U);
    const std::string file = "{\"file\": \"" + folder_.path("in.csv") + "\", ";
    EXPECT_EQ(folder_.read("bad.jsonl"),
              file +
                  "\"line\": 3, \"byte\": 8, \"reason\": \"field 1 is not a whole number: \\\"x\\\"\", "
                  "\"record\": \"x,y\"}\n" +
                  file +
                  "\"line\": 4, \"byte\": 12, \"reason\": \"it has 1 field instead of 2\", \"record\": \"3\"}\n" +
                  file +
                  "\"line\": 5, \"byte\": 14, \"reason\": \"text follows a closing quote\", "
                  "\"record\": \"\\\"p\\\"q,4\"}\n" +
                  file +
                  "\"line\": 6, \"byte\": 21, \"reason\": \"field 1 is not a whole number: \\\"\xEF\xBF\xBDz\\\"\", "
                  "\"record\": \"\xEF\xBF\xBDz,5\", \"record_hex\": \"ff7a2c35\"}\n");
    EXPECT_THAT(context_.logger.messages()[0], "Malformed record at line 3 (byte 8) of \"" + folder_.path("in.csv") +
                                                   "\": field 1 is not a whole number: \"x\": \"x,y\"");
}

TEST_F(CsvSource, FailsAtABadRowIfAsked) {
    expect_refused("csv_source", params({{"input", file("a,b\n1,2\n3\n")}, {"on_bad", word("fail")}}),
                   "in.csv\": it has 1 field instead of 2: \"3\"; set \"on_bad\" to \"count\"");
}

TEST_F(CsvSource, ReadsAllFilesOfAPattern) {
    folder_.write("x2.csv", "b,a\n3,4\n");
    folder_.write("x1.csv", "a,b\n1,2\n");
    folder_.write("x3.csv", "a,b\n");

    EXPECT_THAT(produce_texts(params({{"input", word(folder_.path("x?.csv"))}, {"columns", list({"a"})}})),
                ElementsAre("1", "4"));
    expect_refused("csv_source", params({{"input", word(folder_.path("y*"))}}), "matches no file");
}

TEST_F(CsvSource, SaysWhatIsWrongWithItsInput) {
    const std::string missing = folder_.path("missing.csv");
    expect_refused("csv_source", params({{"input", word(missing)}}), missing + "\": No such file or directory");
    expect_refused("csv_source", params({{"input", word("")}}), "\"input\" is empty");
    expect_refused("csv_source", params({{"input", file("")}}), "is empty");
    expect_refused("csv_source", params({{"input", word(folder_.path())}}), "is a directory");
    expect_refused("csv_source", params({{"input", file("a,b\n")}, {"columns", list({"c"})}}), "no column \"c\"");
    expect_refused("csv_source", params({{"input", file("a,b\n")}, {"delimiter", word("ab")}}),
                   "\"delimiter\" is one letter");
    expect_refused("csv_source", params({{"input", file("a,b\n")}, {"quote", word(",")}}), "\"quote\" is one letter");
    expect_refused("csv_source", params({{"input", file("a,b\n")}, {"types", list({"f32"})}}), "\"types\" has \"f32\"");
    expect_refused("csv_source", params({{"input", file("a,b\n1,2\n")}, {"types", list({"f64"})}}),
                   "1 items for 2 columns");
    expect_refused("csv_source",
                   params({{"input", file("1,2\n")}, {"header", ParamValue{false}}, {"columns", list({"3"})}}),
                   "numbers from 1 to 2");
    EXPECT_THAT(produce_texts(params({{"input", file("a,b\n")}})), IsEmpty());
    EXPECT_THAT(produce_texts(params({{"input", file("")}, {"header", ParamValue{false}}})), IsEmpty());
}

TEST_F(CsvSource, FailsOnAFullDiskForItsDeadLetters) {
    expect_failure(
        [&] {
            produce("csv_source", params({{"input", file("a,b\n1\n")}, {"dead_letter", word("/dev/full")}}));
        },
        Errc::exhausted, "No space left on device");
    const Params given = params({{"input", file("a,b\n1\n")}, {"dead_letter", word("bad.jsonl")}});
    const test::FileSizeLimit limit{10};
    expect_failure([&] { produce("csv_source", given); }, Errc::exhausted, "set \"dead_letter\" to a file elsewhere");
    EXPECT_EQ(folder_.read("bad.jsonl"), "");
}

TEST_F(CsvSource, SharesRandomFilesAmongItsInstancesRowByRow) {
    std::mt19937 random{11};
    for (int round = 0; round < 60; ++round) {
        std::string text = "a,b\n";
        for (int row = 0; row < 40; ++row) {
            const std::string id = std::to_string(row);
            text += random() % 2 == 0 ? "\"" + id + ",\n\"\"" + std::string(random() % 9, '\n') + "\"," + id + "\r\n"
                                      : id + "," + std::string(random() % 20, 'x') + "\n";
        }
        std::vector<std::string> expected;
        for (const auto& row : test::NaiveCsv(text, ',', '"').rows()) expected.push_back(row.text);
        expected.erase(expected.begin());
        const Params given = params({{"input", file(text)}, {"batch_rows", number(1)}, {"batch_bytes", number(64)}});
        for (const int instances : {1, 2, 5, 16}) {
            std::vector<std::string> texts;
            for (int instance = 0; instance < instances; ++instance) {
                context_.instance_number = instance;
                context_.instance_count = instances;
                for (const std::string& row : produce_texts(given)) texts.push_back(row);
            }
            ASSERT_EQ(texts, expected) << instances;
        }
    }
}

// --- csv_source: numbers ---

TEST_F(CsvSource, EmitsNumbersAsRowsByColumns) {
    const auto batches = produce("csv_source", params({{"input", file("a,b,c\n1,2.5,x\n-3,4e2,y\n5,6,z\n")},
                                                       {"output", word("numbers")},
                                                       {"columns", list({"b", "a"})},
                                                       {"batch_rows", number(2)}}));

    ASSERT_EQ(batches.size(), 2U);
    EXPECT_EQ(batches[0].shape(), (Shape{2, 2}));
    EXPECT_EQ(batches[1].shape(), (Shape{1, 2}));
    EXPECT_THAT(batches[0].view<double>(), ElementsAre(2.5, 1, 400, -3));
    EXPECT_THAT(batches[1].view<double>(), ElementsAre(6, 5));
    EXPECT_EQ(batches[0].metadata().string("columns"), "b,a");
}

TEST_F(CsvSource, EmitsTheTypeOfNumberThatIsAskedFor) {
    const auto read = [&](const char* dtype) {
        return produce("csv_source",
                       params({{"input", file("a\n1\n-2\n")}, {"output", word("numbers")}, {"dtype", word(dtype)}}))
            .at(0);
    };
    EXPECT_THAT(read("f32").view<float>(), ElementsAre(1.F, -2.F));
    EXPECT_THAT(read("i64").view<std::int64_t>(), ElementsAre(1, -2));
    EXPECT_THAT(read("i32").view<std::int32_t>(), ElementsAre(1, -2));
    EXPECT_THAT(read("f64").view<double>(), ElementsAre(1., -2.));
}

TEST_F(CsvSource, LeavesOutRowsThatAreNoNumbers) {
    const auto batches = produce("csv_source", params({{"input", file("a,b\nx,1\n1,2\n3,\n5,6\n7,y\n")},
                                                       {"output", word("numbers")},
                                                       {"batch_rows", number(2)}}));

    ASSERT_EQ(batches.size(), 1U);
    EXPECT_THAT(batches[0].view<double>(), ElementsAre(1, 2, 5, 6));
    EXPECT_EQ(batches[0].metadata().integer("byte"), 8);
    EXPECT_EQ(context_.counters["malformed"], 3U);
    EXPECT_THAT(context_.logger.messages()[1], HasSubstr("field 2 is not a number: \"\": \"3,\""));
}

TEST_F(CsvSource, MakesEmptyFieldsNaNIfAsked) {
    const auto batches =
        produce("csv_source",
                params({{"input", file("a,b\n1,\n,nan\n")}, {"output", word("numbers")}, {"empty", word("nan")}}));

    const auto values = batches.at(0).view<double>();
    EXPECT_EQ(values[0], 1);
    for (const std::size_t i : {1U, 2U, 3U}) EXPECT_TRUE(std::isnan(values[i]));
    expect_refused("csv_source",
                   params({{"input", file("a\n1\n")}, {"output", word("numbers")}, {"types", list({"f64"})}}),
                   "set \"dtype\"");
}

TEST_F(CsvSource, EmitsNothingWhenAllRowsAreBad) {
    EXPECT_THAT(produce("csv_source", params({{"input", file("a\nx\ny\n")}, {"output", word("numbers")}})), IsEmpty());
    EXPECT_EQ(context_.counters["malformed"], 2U);
}

// --- csv_sink ---

TEST_F(FileOperators, CsvSinkKnowsQuotedCommasAndLineEnds) {
    const auto sink = make_builtin<Sink>(
        "csv_sink", params({{"header", word("a,\"b,1\"")}, {"dead_letter", word("bad.jsonl")}}), context_);

    sink->consume(out_.text("1,\"x,\ny\"\n3,4"));
    sink->consume(out_.text("\"5\",6\n\"7,8\"\n\"9\"\"\",\"\"\r\n"));
    sink->finish();

    EXPECT_EQ(folder_.read("results.csv"), "a,\"b,1\"\n1,\"x,\ny\"\n3,4\n\"5\",6\n\"9\"\"\",\"\"\n");
    EXPECT_EQ(context_.counters["records"], 4U);
    EXPECT_EQ(context_.counters["malformed"], 1U);
    EXPECT_EQ(folder_.read("bad.jsonl"),
              "{\"source_rank\": 1, \"payload\": 1, \"line\": 2, \"reason\": \"it has 1 field "
              "instead of 2\", \"record\": \"\\\"7,8\\\"\"}\n");
}

TEST_F(FileOperators, CsvSinkWithoutAHeaderTakesRowsOfAnyLength) {
    const auto sink = make_builtin<Sink>("csv_sink", params({{"header", word("")}}), context_);

    sink->consume(out_.text("1,\"x\n\"\n2"));
    sink->finish();

    EXPECT_EQ(folder_.read("results.csv"), "1,\"x\n\"\n2\n");
    EXPECT_EQ(context_.counters["records"], 2U);
    EXPECT_EQ(context_.counters["malformed"], 0U);
}

// --- jsonl_sink ---

class JsonlSink : public FileOperators {
protected:
    std::string written(const std::vector<Payload>& payloads, const Params& given = {}) {
        const auto sink = make_builtin<Sink>("jsonl_sink", given, context_);
        for (const Payload& payload : payloads) sink->consume(payload);
        sink->finish();
        return folder_.read("results.jsonl");
    }
    Payload csv(std::string_view text, std::string_view columns) {
        auto draft = out_.draft<char>(text.size());
        std::copy(text.begin(), text.end(), draft.begin());
        draft.set_format(Format::csv);
        draft.set("columns", columns);
        return out_.sealed(std::move(draft));
    }
};

TEST_F(JsonlSink, WritesAnObjectForEachRecord) {
    EXPECT_EQ(
        written({csv("1,x\n-2.50e3,\"y \"\"z\"\"\"\n", "a,b"), csv("007,", "c,d"), out_.text("1.,.5\n\"3\",true")}),
        "{\"a\": 1, \"b\": \"x\"}\n{\"a\": -2.50e3, \"b\": \"y \\\"z\\\"\"}\n{\"c\": \"007\", \"d\": null}\n"
        "{\"field_1\": \"1.\", \"field_2\": \".5\"}\n{\"field_1\": \"3\", \"field_2\": \"true\"}\n");
    EXPECT_EQ(context_.counters["records"], 5U);
}

TEST_F(JsonlSink, HoldsRecordsAgainstTheNames) {
    EXPECT_EQ(written({csv("1,2\n3\n\"4,5\n", "x"), out_.text("")}, params({{"header", word("a,\"b\n\"")}})),
              "{\"a\": 1, \"b\\n\": 2}\n");
    EXPECT_EQ(context_.counters["malformed"], 2U);
    expect_failure([&] { written({}, params({{"header", word("a,\"b")}})); }, Errc::invalid_input, "no row of CSV");
}

TEST_F(JsonlSink, MakesWhatIsNotFiniteNullAndCountsIt) {
    const auto nan = std::numeric_limits<double>::quiet_NaN();
    const auto infinity = std::numeric_limits<float>::infinity();

    const std::string text = written({csv("nan,-inf,\"nan\",Infinity,nano", "a,b,c,d,e"),
                                      out_.vector<double>({1.5, nan}), out_.vector<float>({-infinity, 0.1F})});

    EXPECT_THAT(text, HasSubstr("{\"a\": null, \"b\": null, \"c\": \"nan\", \"d\": null, \"e\": \"nano\"}\n"));
    EXPECT_THAT(text, HasSubstr("\"values\": [1.5, null]}"));
    EXPECT_THAT(text, HasSubstr("\"values\": [null, 0.1]}"));
    EXPECT_EQ(context_.counters["non_finite"], 5U);
}

TEST_F(JsonlSink, TellsAllOfAPayloadOfNumbers) {
    auto draft = out_.draft<std::int16_t>(Shape{2, 1});
    draft[0] = -7;
    draft[1] = 8;
    draft.set_user_id(99);
    draft.set("n", 3);
    draft.set("x", 0.5);
    draft.set("yes", true);
    draft.set("t\"\xFF", "a\nb");
    const std::array<std::byte, 2> raw{std::byte{0x0A}, std::byte{0xFF}};
    draft.set("raw", std::span<const std::byte>{raw});

    EXPECT_THAT(
        written({out_.sealed(std::move(draft))}),
        testing::MatchesRegex("\\{\"source_rank\": 1, \"sequence\": 0, \"user_id\": 99, \"time_ns\": [0-9]+, "
                              "\"dtype\": \"i16\", \"shape\": \\[2, 1\\], \"metadata\": \\{\"n\": 3, \"x\": 0.5, "
                              "\"yes\": true, \"t\\\\\"\xEF\xBF\xBD\": \"a\\\\nb\", \"raw\": \"0aff\"\\}, "
                              "\"values\": \\[-7, 8\\]\\}\n"));
}

TEST_F(JsonlSink, TakesPayloadsOfEveryKindAndSize) {
    EXPECT_THAT(written({out_.vector<double>({})}), HasSubstr("\"shape\": [0], \"metadata\": {}, \"values\": []}"));
    EXPECT_THAT(written({out_.vector<std::uint64_t>({std::numeric_limits<std::uint64_t>::max()})}),
                HasSubstr("[18446744073709551615]"));
    EXPECT_THAT(written({out_.vector<std::int8_t>({-128})}),
                HasSubstr("\"i8\", \"shape\": [1], \"metadata\": {}, \"values\": [-128]"));
    EXPECT_THAT(written({out_.vector<std::byte>({std::byte{255}})}), HasSubstr("\"values\": [255]"));
    EXPECT_THAT(written({out_.vector<float>({1, 2, 3})}, params({{"max_values", number(1)}})),
                HasSubstr("\"values\": [1], \"values_left_out\": 2}"));
    auto draft = out_.draft<char>(2);
    draft[0] = '{';
    draft[1] = '}';
    draft.set_format(Format::json);
    EXPECT_THAT(written({out_.sealed(std::move(draft))}), HasSubstr("\"value\": \"{}\"}"));
    EXPECT_EQ(written({}), "");
}

TEST_F(JsonlSink, NeverWritesInvalidText) {
    const auto encoded = [](std::string_view text) {
        std::string out;
        append_json_string(out, text);
        return out;
    };
    const std::string bad = "\xEF\xBF\xBD";
    EXPECT_EQ(encoded("\x01\x1f\x7f\t\"\\/\xC3\xA9"), "\"\\u0001\\u001f\\u007f\\t\\\"\\\\/\xC3\xA9\"");
    EXPECT_EQ(encoded("a\xC3"), "\"a" + bad + "\"");
    EXPECT_EQ(encoded("\xC0\x80"), "\"" + bad + bad + "\"");
    EXPECT_EQ(encoded("\xED\xA0\x80"), "\"" + bad + bad + bad + "\"");
    EXPECT_EQ(encoded("\xF0\x9F\x98\x80\xF4\x90\x80\x80"), "\"\xF0\x9F\x98\x80" + bad + bad + bad + bad + "\"");
    EXPECT_EQ(encoded(std::string_view{"\0", 1}), "\"\\u0000\"");
    for (const char* text : {"0", "-0", "1", "10", "-1.5", "1e5", "1E+05", "0.0e-0"})
        EXPECT_TRUE(is_json_number(text)) << text;
    for (const char* text : {"", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "1 ", "nan", "--1", "1.5.2"}) {
        EXPECT_FALSE(is_json_number(text)) << text;
    }
}

TEST_F(JsonlSink, KeepsOnlyWholePayloadsWhenTheFileMayNotGrow) {
    const auto sink = make_builtin<Sink>("jsonl_sink", {}, context_);
    sink->consume(out_.text("1"));
    const test::FileSizeLimit limit{25};

    expect_failure([&] { sink->consume(out_.text("1,2,3,4")); }, Errc::exhausted,
                   "it keeps what was complete (15 bytes)");

    EXPECT_EQ(folder_.read("results.jsonl"), "{\"field_1\": 1}\n");
}

// --- file_source and file_sink ---

class RawFiles : public FileOperators {
protected:
    Params from(std::string_view content, std::initializer_list<std::pair<const char*, ParamValue>> more = {}) {
        Params given = params(more);
        given.set("input", word(folder_.write("in.bin", content)));
        return given;
    }
};

std::string content_of(const Payload& payload) {
    const auto bytes = payload.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(RawFiles, AreReadInBlocks) {
    const auto blocks = produce("file_source", from("abcdefgh", {{"block", number(3)}}));

    ASSERT_EQ(blocks.size(), 3U);
    EXPECT_EQ(content_of(blocks[0]), "abc");
    EXPECT_EQ(content_of(blocks[2]), "gh");
    EXPECT_EQ(blocks[2].shape(), Shape{2});
    EXPECT_EQ(blocks[2].dtype(), DType::bytes);
    EXPECT_EQ(blocks[2].format(), Format::raw);
    EXPECT_EQ(blocks[2].user_id(), 2U);
    EXPECT_EQ(blocks[2].metadata().integer("byte"), 6);
    EXPECT_THAT(produce("file_source", from("")), IsEmpty());
}

TEST_F(RawFiles, AreReadAsRecordsOfOneShape) {
    const std::vector<float> numbers{1, 2, 3, 4, 5, 6, 7};
    const std::string content{reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)};

    const auto records = produce("file_source", from(content + "x", {{"dtype", word("f32")}, {"shape", list({3, 1})}}));

    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[1].shape(), (Shape{3, 1}));
    EXPECT_THAT(records[1].view<float>(), ElementsAre(4, 5, 6));
    EXPECT_EQ(context_.counters["malformed"], 1U);
    EXPECT_THAT(context_.logger.messages()[0], HasSubstr("byte 24 of \"" + folder_.path("in.bin") +
                                                         "\": the last 5 bytes are no whole record of 12 bytes"));
}

TEST_F(RawFiles, AreReadInWholeElements) {
    const auto blocks =
        produce("file_source", from(std::string(15, '\0'), {{"dtype", word("i32")}, {"block", number(11)}}));

    ASSERT_EQ(blocks.size(), 2U);
    EXPECT_EQ(blocks[0].shape(), Shape{2});
    EXPECT_EQ(blocks[1].shape(), Shape{1});
    EXPECT_THAT(context_.logger.messages()[0], HasSubstr("the last 3 bytes are no whole element"));
}

TEST_F(RawFiles, AreSharedByTheInstances) {
    for (std::size_t size = 0; size < 30; ++size) {
        const std::string content = std::string{"abcdefghijklmnopqrstuvwxyz0123"}.substr(0, size);
        const Params given = from(content, {{"block", number(4)}});
        for (const int instances : {1, 2, 3, 9}) {
            std::string all;
            for (int instance = 0; instance < instances; ++instance) {
                context_.instance_number = instance;
                context_.instance_count = instances;
                for (const Payload& block : produce("file_source", given)) {
                    EXPECT_EQ(block.metadata().integer("byte"), static_cast<std::int64_t>(all.size()));
                    all += content_of(block);
                }
            }
            ASSERT_EQ(all, content);
        }
    }
}

TEST_F(RawFiles, AreWrittenAsTheyArrive) {
    const auto sink = make_builtin<Sink>("file_sink", {}, context_);
    sink->consume(out_.text("abc"));
    sink->consume(out_.vector<double>({}));
    sink->consume(out_.vector<std::uint8_t>({100, 101}));
    sink->finish();

    EXPECT_EQ(folder_.read("results.bin"), "abcde");
}

TEST_F(RawFiles, AreWrittenInOrderWhateverComesFirst) {
    const std::string content = "abcdefghijklm";
    auto blocks = produce("file_source", from(content, {{"block", number(3)}}));
    std::shuffle(blocks.begin(), blocks.end(), std::mt19937{5});
    const auto sink = make_builtin<Sink>("file_sink", params({{"ordered", ParamValue{true}}}), context_);
    for (const Payload& block : blocks) sink->consume(block);
    sink->finish();

    EXPECT_EQ(folder_.read("results.bin"), content);
}

TEST_F(RawFiles, ArePlacedByTheUserIdAndTheSizeOfARecord) {
    const auto sink =
        make_builtin<Sink>("file_sink", params({{"ordered", ParamValue{true}}, {"record", number(2)}}), context_);
    const auto with_id = [&](std::string_view text, std::uint64_t id) {
        auto draft = out_.draft<char>(text.size());
        std::copy(text.begin(), text.end(), draft.begin());
        draft.set_user_id(id);
        return out_.sealed(std::move(draft));
    };
    sink->consume(with_id("e", 2));
    sink->consume(with_id("ab", 0));
    sink->consume(with_id("xyz", 1));
    sink->consume(with_id("zz", ~std::uint64_t{0}));
    sink->consume(out_.text("no"));
    sink->finish();

    EXPECT_EQ(folder_.read("results.bin"), (std::string{"ab\0\0e", 5}));
    EXPECT_EQ(context_.counters["malformed"], 3U);
}

TEST_F(RawFiles, KeepWholePiecesOnAFullDisk) {
    for (const bool ordered : {false, true}) {
        const auto sink = make_builtin<Sink>("file_sink", params({{"ordered", ParamValue{ordered}}}), context_);
        const auto blocks = produce("file_source", from("abcdef", {{"block", number(3)}}));
        sink->consume(blocks[0]);
        const test::FileSizeLimit limit{5};

        expect_failure([&] { sink->consume(blocks[1]); }, Errc::exhausted, "it keeps what was complete (3 bytes)");

        EXPECT_EQ(folder_.read("results.bin"), "abc");
    }
    expect_failure(
        [&] {
            make_builtin<Sink>("file_sink", params({{"output", word("/dev/full")}}), context_)->consume(out_.text("x"));
        },
        Errc::exhausted, "No space left on device");
    expect_failure(
        [&] {
            static_cast<void>(make_builtin<Sink>("file_sink", params({{"output", word("missing/x")}}), context_));
        },
        Errc::invalid_input, "No such file or directory");
}

TEST_F(RawFiles, ThatShrinkGrowOrVanishAreNoticed) {
    const Params given = from(std::string(100, 'a'), {{"block", number(10)}});
    const std::string path = folder_.path("in.bin");
    {
        const auto source = make_builtin<Source>("file_source", given, context_);
        ASSERT_TRUE(source->produce(out_));
        std::filesystem::resize_file(path, 15);
        expect_failure(
            [&] {
                while (source->produce(out_)) continue;
            },
            Errc::invalid_input, "became shorter");
    }
    {
        const auto source = make_builtin<Source>("file_source", given, context_);
        std::filesystem::remove(path);
        expect_failure([&] { source->produce(out_); }, Errc::invalid_input, "No such file or directory");
    }
    folder_.write("in.bin", "abc");
    context_.instance_count = 2;
    const auto source = make_builtin<Source>("file_source", given, context_);
    folder_.write("in.bin", "abcdef");
    expect_failure([&] { source->produce(out_); }, Errc::invalid_input, "grew while its parts were read");
}

TEST_F(RawFiles, MayBePipes) {
    const std::string pipe = folder_.path("pipe");
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    Params given = params({{"input", word("/dev/null")}});
    EXPECT_THAT(produce("file_source", given), IsEmpty());
    context_.instance_count = 2;
    expect_refused("file_source", given, "is no regular file, so it cannot be shared");
}

TEST_F(RawFiles, RefuseWrongParameters) {
    expect_refused("file_source", params({{"input", word(folder_.path("missing"))}}), "No such file or directory");
    expect_refused("file_source", from("a", {{"shape", list({std::int64_t{0}})}}), "whole numbers from 1");
    expect_refused("file_source", from("a", {{"shape", list({"x"})}}), "whole numbers from 1");
}

}  // namespace
}  // namespace penstock
