#include <array>
#include <limits>
#include <string>
#include <string_view>

#include <gmock/gmock.h>

#include "base/nearest.hpp"
#include "base/quantity.hpp"
#include "base/quote.hpp"
#include "base/table.hpp"

namespace penstock {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Optional;

constexpr std::array<std::string_view, 5> words{"balance", "round_robin", "hash", "broadcast", "csv_sink"};

TEST(Nearest, ForgivesOneWrongMissingSurplusOrSwappedLetter) {
    for (const auto* typed : {"balanxe", "balnce", "ballance", "blaance", "BALANCE"}) {
        EXPECT_THAT(nearest(typed, words), Optional(std::string{"balance"})) << typed;
    }
}

TEST(Nearest, TakesTheClosestOfSeveral) {
    constexpr std::array<std::string_view, 3> close{"stage_1", "stage_12", "stage_123"};

    EXPECT_THAT(nearest("stage_13", close), Optional(std::string{"stage_1"}));
    EXPECT_THAT(nearest("stage_124", close), Optional(std::string{"stage_12"}));
}

TEST(Nearest, CompletesABeginningOfThreeLetters) {
    EXPECT_THAT(nearest("csv", words), Optional(std::string{"csv_sink"}));
    EXPECT_EQ(nearest("cs", words), std::nullopt);
}

TEST(Nearest, FindsNothingForAnotherWord) {
    EXPECT_EQ(nearest("compression", words), std::nullopt);
    EXPECT_EQ(nearest("x", std::array<std::string_view, 1>{"y"}), std::nullopt);
    EXPECT_EQ(nearest("", words), std::nullopt);
    EXPECT_EQ(nearest(std::string(100'000, 'a'), words), std::nullopt);
    EXPECT_EQ(nearest("hash", {}), std::nullopt);
}

TEST(Suggestion, ListsTheCandidatesWhenNoneIsNear) {
    EXPECT_EQ(suggestion("hsah", words, "known are"), "; did you mean \"hash\"?");
    EXPECT_EQ(suggestion("zzz", words, "known are"), "; known are balance, round_robin, hash, broadcast, csv_sink");
    EXPECT_EQ(suggestion("zzz", {}, "known are"), "; known are none");
}

TEST(Suggestion, StopsListingAtTwentyFour) {
    const std::vector<std::string_view> many(30, "candidate");

    EXPECT_THAT(suggestion("zzz", many, "known are"), EndsWith(", and 6 more"));
}

TEST(Bytes, CountBinaryUnitsIn1024AndDecimalOnesIn1000) {
    EXPECT_THAT(parse_bytes("4096"), Optional(4096U));
    EXPECT_THAT(parse_bytes("64MiB"), Optional(64U << 20U));
    EXPECT_THAT(parse_bytes("64 KiB"), Optional(65'536U));
    EXPECT_THAT(parse_bytes("2MB"), Optional(2'000'000U));
    EXPECT_THAT(parse_bytes("7B"), Optional(7U));
}

TEST(Bytes, AreNothingForOtherText) {
    for (const auto* text : {"", "MiB", "64mib", "64 MiB ", "-1", "1.5GiB", "64  MiB", "1e3", "0x10"}) {
        EXPECT_EQ(parse_bytes(text), std::nullopt) << text;
    }
}

TEST(Bytes, AreNothingBeyond63Bits) {
    EXPECT_THAT(parse_bytes("9223372036854775807"),
                Optional(static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
    EXPECT_EQ(parse_bytes("9223372036854775808"), std::nullopt);
    EXPECT_EQ(parse_bytes("9000000TiB"), std::nullopt);
    EXPECT_EQ(parse_bytes("99999999999999999999999"), std::nullopt);
}

TEST(Duration, NeedsAUnitUnlessItIsZero) {
    using namespace std::chrono_literals;

    EXPECT_THAT(parse_duration("500ms"), Optional(500ms));
    EXPECT_THAT(parse_duration("30s"), Optional(30'000ms));
    EXPECT_THAT(parse_duration("5m"), Optional(300'000ms));
    EXPECT_THAT(parse_duration("2h"), Optional(7'200'000ms));
    EXPECT_THAT(parse_duration("0"), Optional(0ms));
    for (const auto* text : {"30", "", "s", "1.5s", "-1s", "30 sec", "99999999h"}) {
        EXPECT_EQ(parse_duration(text), std::nullopt) << text;
    }
}

TEST(Quotes, EscapeWhatCouldConfuseATerminal) {
    EXPECT_EQ(in_quotes("a\"b\\c"), R"("a\"b\\c")");
    EXPECT_EQ(in_quotes("\x1b[2J\n"), R"("\x1b[2J\n")");
}

TEST(Quotes, CutLongTextBetweenCharacters) {
    std::string text(59, 'a');
    text += "\xc3\xa9\xc3\xa9";  // the limit falls into the first of them

    EXPECT_EQ(printable(text), std::string(59, 'a') + "...");
}

TEST(Quotes, ShowAPathAsAWhole) {
    const std::string path = '/' + std::string(500, 'a');

    EXPECT_EQ(path_in_quotes(path + "\n"), '"' + path + "\\n\"");
}

TEST(TableText, AlignsColumnsWithoutTrailingSpaces) {
    Table table{{"a", "b", "c"}};
    table.add({"long", "x", "y"});
    table.add({"z"});

    EXPECT_EQ(table.text(), "a     b  c\nlong  x  y\nz\n");
}

}  // namespace
}  // namespace penstock
