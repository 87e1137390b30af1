#include "operators/csv_reader.hpp"

#include <filesystem>
#include <future>
#include <random>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error_of.hpp"
#include "support/naive_csv.hpp"
#include "support/scratch_folder.hpp"

namespace penstock {
namespace {

using test::NaiveCsv;
using test::NaiveRow;
using test::ScratchFolder;
using testing::ElementsAre;
using testing::HasSubstr;

using Fields = std::vector<std::string>;

struct ReadRow {
    std::uint64_t byte = 0;
    std::uint64_t line = 0;
    std::string text;
    Fields fields;
    std::string problem;
};

ReadRow copy_of(CsvReader& reader) {
    const CsvRow& row = reader.row();
    ReadRow copy{reader.byte(), reader.line(), std::string{row.text()}, {}, row.problem()};
    std::string scratch;
    for (std::size_t i = 0; i < row.size(); ++i) copy.fields.emplace_back(row.field(i, scratch));
    return copy;
}

std::vector<ReadRow> rest_of(CsvReader& reader) {
    std::vector<ReadRow> rows;
    while (reader.next()) rows.push_back(copy_of(reader));
    return rows;
}

class CsvReading : public testing::Test {
protected:
    std::vector<ReadRow> read(std::string_view text, CsvOptions options = {}) {
        CsvReader reader{folder_.write("in.csv", text), options};
        return rest_of(reader);
    }
    /// The fields of the rows, or the problem.
    std::vector<Fields> fields(std::string_view text, CsvOptions options = {.header = false}) {
        std::vector<Fields> all;
        for (const ReadRow& row : read(text, options)) {
            all.push_back(row.problem.empty() ? row.fields : Fields{row.problem});
        }
        return all;
    }

    ScratchFolder folder_;
};

TEST_F(CsvReading, PartsFieldsAtDelimitersAndRowsAtLineEnds) {
    EXPECT_THAT(fields("a,b\n1,2\n3,4\n"), ElementsAre(Fields{"a", "b"}, Fields{"1", "2"}, Fields{"3", "4"}));
    EXPECT_THAT(fields("a,b\r\n1,2\r\n"), ElementsAre(Fields{"a", "b"}, Fields{"1", "2"}));
    EXPECT_THAT(fields("a,b\n1,2"), ElementsAre(Fields{"a", "b"}, Fields{"1", "2"}));
    EXPECT_THAT(fields("a,b\r\n1,2\r"), ElementsAre(Fields{"a", "b"}, Fields{"1", "2"}));
    EXPECT_THAT(fields(",\n,"), ElementsAre(Fields{"", ""}, Fields{"", ""}));
    EXPECT_THAT(fields("a;b\n1;2,5", {.dialect = {.delimiter = ';'}, .header = false}),
                ElementsAre(Fields{"a", "b"}, Fields{"1", "2,5"}));
}

TEST_F(CsvReading, TakesQuotedFieldsWithAnythingInThem) {
    EXPECT_THAT(fields("\"a,1\",\"b\"\"c\"\n\"x\ny\r\n\",\"\"\n"),
                ElementsAre(Fields{"a,1", "b\"c"}, Fields{"x\ny\r\n", ""}));
    EXPECT_THAT(fields("\"\"\"\",\"\"\"\"\"\"\r\n\"a\",\"b\"\r\n"),
                ElementsAre(Fields{"\"", "\"\""}, Fields{"a", "b"}));
    EXPECT_THAT(fields("'a,1',\"b", {.dialect = {.quote = '\''}, .header = false}), ElementsAre(Fields{"a,1", "\"b"}));
    EXPECT_THAT(fields("\"a,1\"\n", {.dialect = {.quote = '\0'}, .header = false}), ElementsAre(Fields{"\"a", "1\""}));
}

TEST_F(CsvReading, SkipsAByteOrderMarkAndEmptyLines) {
    EXPECT_THAT(fields("\xEF\xBB\xBF\"a\",b\n\n\r\n1,2\n\n"), ElementsAre(Fields{"a", "b"}, Fields{"1", "2"}));
    EXPECT_TRUE(fields("").empty());
    EXPECT_TRUE(fields("\n\r\n\n").empty());
    EXPECT_TRUE(fields("\xEF\xBB\xBF").empty());
    EXPECT_THAT(fields("\"\"\n\"\""), ElementsAre(Fields{""}, Fields{""}));
}

TEST_F(CsvReading, KnowsTheColumnsByTheirNames) {
    CsvReader reader{folder_.write("in.csv", "time,\"the \"\"value\"\"\",time\n1,2,3\n")};

    EXPECT_THAT(reader.names(), ElementsAre("time", "the \"value\"", "time"));
    EXPECT_EQ(reader.fields(), 3U);
    EXPECT_EQ(reader.column("the \"value\""), 1U);
    EXPECT_THAT(error_of([&] { static_cast<void>(reader.column("speed")); }).what(),
                HasSubstr("has no column \"speed\"; its columns are time, the \"value\", time"));
    EXPECT_THAT(error_of([&] { static_cast<void>(reader.column("time")); }).what(),
                HasSubstr("has several columns \"time\""));
    ASSERT_TRUE(reader.next());
    EXPECT_EQ(reader.row().raw(2), "3");
    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.next());
}

TEST_F(CsvReading, SaysWhyARowIsBadAndGoesOnAfterIt) {
    const auto rows = read("a,b\n1\n1,2,3\n\"x\"y,2\nx\"y,\"2\n\"p\nq\" ,2\n5,6\n7,\"8\n9,10");

    ASSERT_EQ(rows.size(), 7U);
    EXPECT_EQ(rows[0].problem, "it has 1 field instead of 2");
    EXPECT_EQ(rows[1].problem, "it has 3 fields instead of 2");
    EXPECT_EQ(rows[2].problem, "text follows a closing quote");
    EXPECT_EQ(rows[3].problem, "a quote stands inside an unquoted field");
}

TEST_F(CsvReading, TellsByteAndLineOfARow) {
    const auto rows = read(
        "\xEF\xBB\xBF"
        "a,b\r\n\n\"x\ny\nz\",2\r\n3,4\r\n\n5,6");

    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[0].byte, 9U);
    EXPECT_EQ(rows[0].line, 3U);
    EXPECT_EQ(rows[1].byte, 20U);
    EXPECT_EQ(rows[1].line, 6U);
    EXPECT_EQ(rows[2].byte, 26U);
    EXPECT_EQ(rows[2].line, 8U);
}

TEST_F(CsvReading, EndsAnUnclosedQuoteAtTheLimitOrWithTheFile) {
    EXPECT_THAT(fields("1,2\n3,\"4\n5,6\n"), ElementsAre(Fields{"1", "2"}, Fields{"a quoted field does not end"}));
    EXPECT_THAT(fields("1,2\n3,\"4\"\""), ElementsAre(Fields{"1", "2"}, Fields{"a quoted field does not end"}));

    std::string text = "1,2\n3,\"";
    for (int i = 0; i < 1000; ++i) text += "4\n";
    text += "\"\n5,6\n";
    const auto rows = read(text, {.header = false, .max_row_bytes = 500, .block_bytes = 64});
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows[1].problem, "it is longer than 500 bytes; a quote may be missing");
    EXPECT_EQ(rows[1].byte, 4U);
    EXPECT_EQ(rows[1].text.size(), 500U);
    EXPECT_EQ(rows[2].fields, (Fields{"5", "6"}));
    EXPECT_EQ(rows[2].line, 1003U);
}

TEST_F(CsvReading, RefusesWhatItCannotRead) {
    const auto refuses = [](const std::string& path, const std::string& words, CsvOptions options = {}) {
        const Error error = error_of([&] { CsvReader reader{path, options}; });
        EXPECT_EQ(error.code(), Errc::invalid_input);
        EXPECT_THAT(error.what(), HasSubstr(words));
    };
    refuses(folder_.path("missing"), "missing\": No such file or directory; set \"input\" to a file that can be read");
    refuses(folder_.path(), "is a directory");
    refuses(folder_.write("empty", ""), "is empty; it should begin with the names of its columns");
    refuses(folder_.write("blank", "\n\r\n"), "is empty");
    refuses(folder_.write("utf16",
                          "\xFF\xFE"
                          "a\0,\0"),
            "is UTF-16; convert it to UTF-8");
    refuses(folder_.write("header", "a,\"b\"c\n1,2\n"), "cannot use the first row");
    refuses(folder_.write("open", "a,\"b\n1,2\n"), "a quoted field does not end");
    refuses("/dev/null", "is no regular file, so it cannot be shared", {.header = false, .parts = 2});
}

TEST_F(CsvReading, ReadsAPipeAsItComes) {
    const std::string pipe = folder_.path("pipe");
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    const auto writer = std::async(std::launch::async, [&] {
        const int file = open(pipe.c_str(), O_WRONLY | O_CLOEXEC);
        for (const std::string_view piece : {"\xEF",
                                             "\xBB\xBF"
                                             "a,",
                                             "b\n1,2\n3", ",\"4\n", "\"\"5\"\n"}) {
            if (write(file, piece.data(), piece.size()) < 0) break;
        }
        close(file);
    });

    CsvReader reader{pipe};
    const auto rows = rest_of(reader);

    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[1].fields, (Fields{"3", "4\n\"5"}));
    EXPECT_FALSE(reader.size_bytes());
}

TEST_F(CsvReading, NoticesAFileThatShrinks) {
    std::string text = "a,b\n";
    for (int i = 0; i < 10'000; ++i) text += "1,2\n";
    const std::string path = folder_.write("in.csv", text);
    CsvReader reader{path, {.block_bytes = 4096}};
    ASSERT_TRUE(reader.next());

    std::filesystem::resize_file(path, 5000);

    const Error error = error_of([&] { rest_of(reader); });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("became shorter while it was read (40004 bytes, then"));
}

TEST_F(CsvReading, GoesOnWithAFileThatWasRemoved) {
    std::string text = "a,b\n";
    for (int i = 0; i < 10'000; ++i) text += "1,2\n";
    const std::string path = folder_.write("in.csv", text);
    CsvReader reader{path, {.block_bytes = 4096}};

    std::filesystem::remove(path);

    EXPECT_EQ(rest_of(reader).size(), 10'000U);
}

TEST_F(CsvReading, ReadsAGrowingFileUpToTheSizeItHad) {
    const std::string path = folder_.write("in.csv", "a,b\n1,2\n");
    CsvReader whole{path};
    CsvReader part{path, {.part = 0, .parts = 2}};
    EXPECT_FALSE(whole.check_growth());

    std::ofstream{path, std::ios::app} << "3,4\n";

    EXPECT_EQ(rest_of(whole).size(), 1U);
    EXPECT_TRUE(whole.check_growth());
    EXPECT_THAT(error_of([&] { part.check_growth(); }).what(), HasSubstr("grew while its parts were read"));
}

// --- against a plain parser ---

/// Text full of quotes and line ends; `wild` ones stand where the grammar has none.
std::string random_csv(std::mt19937& random, bool wild) {
    const auto below = [&](int limit) { return std::uniform_int_distribution<int>{0, limit - 1}(random); };
    std::string text = below(4) == 0 ? "\xEF\xBB\xBF" : "";
    const int columns = 1 + below(4);
    const int rows = below(12);
    for (int row = 0; row < rows; ++row) {
        for (int column = 0; column < columns + (below(8) == 0 ? 1 : 0); ++column) {
            if (column > 0) text += ',';
            const int kind = below(4);
            const int length = below(below(10) == 0 ? 150 : 6);
            if (kind == 0) {
                text += '"';
                for (int i = 0; i < length; ++i) {
                    constexpr std::string_view inside[] = {"a", ",", "\n", "\r\n", "\"\"", "\r"};
                    text += inside[below(6)];
                }
                text += '"';
            } else {
                for (int i = 0; i < length; ++i) text += static_cast<char>('0' + below(10));
            }
            if (wild && below(12) == 0) {
                constexpr std::string_view odd[] = {"\"", "\r", "x", "\"\"", "\n", "\"x"};
                text += odd[below(6)];
            }
        }
        text += below(3) == 0 ? "\r\n" : "\n";
        if (below(10) == 0) text += '\n';
    }
    if (!text.empty() && below(2) == 0) text.pop_back();
    return text;
}

void expect_same(const std::vector<ReadRow>& rows, const std::vector<NaiveRow>& expected, const std::string& text) {
    SCOPED_TRACE(testing::PrintToString(text));
    ASSERT_EQ(rows.size(), expected.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        SCOPED_TRACE("row " + std::to_string(i));
        const bool is_bad = expected[i].has_bad_quotes || expected[i].fields.size() != expected[0].fields.size();
        EXPECT_EQ(rows[i].byte, expected[i].byte);
        EXPECT_EQ(rows[i].line, expected[i].line);
        EXPECT_EQ(rows[i].text, expected[i].text);
        EXPECT_EQ(!rows[i].problem.empty(), is_bad) << rows[i].problem;
        EXPECT_EQ(rows[i].fields.size(), expected[i].fields.size());
        if (!is_bad) {
            EXPECT_EQ(rows[i].fields, expected[i].fields);
        }
    }
}

TEST_F(CsvReading, AgreesWithAPlainParserOnRandomText) {
    std::mt19937 random{20261};
    for (int round = 0; round < 3000 && !HasFailure(); ++round) {
        const std::string text = random_csv(random, round % 2 == 0);
        const std::size_t block = round % 3 == 0 ? 64 : 4096;

        expect_same(read(text, {.header = false, .block_bytes = block}), NaiveCsv(text, ',', '"').rows(), text);
    }
}

TEST_F(CsvReading, GivesEachRowToOnePartWhereverThePartsBegin) {
    std::mt19937 random{4180};
    for (int round = 0; round < 400 && !HasFailure(); ++round) {
        const std::string text = random_csv(random, round % 2 == 0);
        const std::string path = folder_.write("in.csv", text);
        const auto all = NaiveCsv(text, ',', '"').rows();
        for (const std::size_t parts : {std::size_t{2}, std::size_t{3}, std::size_t{7}, text.size() + 1}) {
            std::vector<ReadRow> rows;
            for (std::size_t part = 0; part < parts; ++part) {
                CsvReader reader{path, {.header = false, .part = part, .parts = parts, .block_bytes = 64}};
                for (ReadRow& row : rest_of(reader)) rows.push_back(std::move(row));
            }
            SCOPED_TRACE(std::to_string(parts) + " parts");
            expect_same(rows, all, text);
        }
    }
}

TEST_F(CsvReading, GivesTheHeaderToNoPart) {
    const std::string path = folder_.write("in.csv", "a,\"b\nc\"\n1,2\n3,4\n5,6\n");
    for (std::size_t parts = 1; parts < 24; ++parts) {
        std::vector<std::string> texts;
        for (std::size_t part = 0; part < parts; ++part) {
            CsvReader reader{path, {.part = part, .parts = parts}};
            EXPECT_THAT(reader.names(), ElementsAre("a", "b\nc"));
            for (const ReadRow& row : rest_of(reader)) texts.push_back(row.text);
        }
        EXPECT_THAT(texts, ElementsAre("1,2", "3,4", "5,6")) << parts;
    }
}

TEST_F(CsvReading, WithoutQuotesPartsAtAnyLineEnd) {
    const std::string text = "a,\"b\n1,2\n3,4\"\n5,6\n7,8\n";
    const std::string path = folder_.write("in.csv", text);
    const auto all = NaiveCsv(text, ',', '\0').rows();
    for (std::size_t parts = 1; parts < 24; ++parts) {
        std::vector<ReadRow> rows;
        for (std::size_t part = 0; part < parts; ++part) {
            CsvReader reader{path, {.dialect = {.quote = '\0'}, .header = false, .part = part, .parts = parts}};
            for (ReadRow& row : rest_of(reader)) rows.push_back(std::move(row));
        }
        expect_same(rows, all, text);
    }
}

// --- the scan alone ---

TEST(CsvScanner, FindsTheSameByEveryMethodAndInPieces) {
    std::mt19937 random{97};
    for (int round = 0; round < 500; ++round) {
        std::string text;
        for (int i = 0; i < 40; ++i) text += random_csv(random, round % 2 == 0);
        QuoteState whole_state;
        CsvMarks whole;
        CsvScanner{{}, csv_scan_methods().back()}.scan(text, whole_state, whole);
        for (const CsvScanMethod& method : csv_scan_methods()) {
            const CsvScanner scanner{{}, method};
            QuoteState state;
            CsvMarks marks;
            scanner.scan(text, state, marks);

            EXPECT_EQ(state, whole_state);
            ASSERT_EQ(marks.ends.size(), whole.ends.size()) << method.name;
            EXPECT_TRUE(std::equal(marks.ends.data(), marks.ends.data() + marks.ends.size(), whole.ends.data()));
            ASSERT_EQ(marks.row_ends.size(), whole.row_ends.size());
            EXPECT_EQ(marks.strays.size(), whole.strays.size());

            QuoteState piecewise;
            std::uint64_t lines = 0;
            for (std::size_t at = 0; at < text.size();) {
                const std::size_t size = std::uniform_int_distribution<std::size_t>{1, 200}(random);
                lines += scanner.skip(std::string_view{text}.substr(at, size), piecewise);
                at += size;
            }
            EXPECT_EQ(piecewise, whole_state);
            EXPECT_EQ(lines, static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')));
        }
    }
}

}  // namespace
}  // namespace penstock
