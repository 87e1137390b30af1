#include <string>
#include <string_view>

#include <gmock/gmock.h>

#include <penstock/error.hpp>
#include <penstock/spec.hpp>

#include "unit/error_of.hpp"

namespace penstock {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using namespace std::string_literals;

std::string message_for(std::string_view text) {
    const auto error = error_of([&] { static_cast<void>(parse_pipeline(text, "p.json")); });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    return error.what();
}

std::string repeated(std::string_view part, std::size_t times) {
    std::string text;
    for (std::size_t i = 0; i < times; ++i) text += part;
    return text;
}

TEST(HostileFile, TruncatedAnywhereIsRefused) {
    const std::string whole = R"({"pipeline": "p", "stages": [{"name": "a", "operator": "x", "params": {"f": [1, -2.5e3,
        true, null, "\u00e9"]}}], "channels": [{"from": "a", "to": "b", "capacity": {"bytes": "1MiB"}}]})";

    for (std::size_t length = 0; length < whole.size(); ++length) {
        EXPECT_THAT(message_for(whole.substr(0, length)), StartsWith("invalid input: p.json:")) << length;
    }
}

TEST(HostileFile, SaysWhereTheSyntaxBreaks) {
    EXPECT_THAT(message_for("{\n  \"pipeline\": \"p\",\n}"), HasSubstr("p.json:3:1: syntax error"));
    EXPECT_THAT(message_for("{\n  \"pipeline\": \"p\",\n}"), HasSubstr("remove the comma before it"));
    EXPECT_THAT(message_for("{\"a\": 1 \"b\": 2}"), HasSubstr("is a comma or a colon missing before it?"));
    EXPECT_THAT(message_for("{\n// no\n}"), HasSubstr("p.json:2:1: syntax error"));
    EXPECT_THAT(message_for("{\n// no\n}"), HasSubstr("JSON has no comments"));
    EXPECT_THAT(message_for("{'a': 1}"), HasSubstr("double quotes"));
    EXPECT_THAT(message_for("{\"a\": [1, 2"), HasSubstr("p.json:1:12: syntax error"));
    EXPECT_THAT(message_for("{} {}"), HasSubstr("p.json:1:4: syntax error"));
    EXPECT_THAT(message_for("{\"a\": 1e999}"), HasSubstr("number overflow"));
}

TEST(HostileFile, IsNamedByWhatItIs) {
    EXPECT_THAT(message_for(""), HasSubstr("p.json: is empty"));
    EXPECT_THAT(message_for(" \n\t\r\n"), HasSubstr("p.json: is empty"));
    EXPECT_THAT(message_for("\xef\xbb\xbf{}"), HasSubstr("p.json:1:1: starts with a byte order mark"));
    EXPECT_THAT(message_for("\xff\xfe{\0"s), HasSubstr("UTF-16"));
    EXPECT_THAT(message_for("{\n\"a\0\": 1}"s), HasSubstr("p.json:2:3: has a NUL byte"));
    EXPECT_THAT(message_for("[]"), HasSubstr("p.json:1: must be an object, not a list"));
    EXPECT_THAT(message_for("12"), HasSubstr("p.json:1: must be an object, not 12"));
}

TEST(HostileFile, MustBeUtf8) {
    for (const auto* bytes : {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                              "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xc3", "\xe2\x82"}) {
        EXPECT_THAT(message_for("{\"description\":\n \"" + std::string{bytes} + "\"}"),
                    HasSubstr("p.json:2:3: is not valid UTF-8"));
    }
}

TEST(HostileFile, MayHaveAnyUtf8Character) {
    const auto text =
        "{\"description\": \"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xef\xbf\xbf \xf0\x90\x80\x80 "
        "\xf4\x8f\xbf\xbf\","
        " \"stages\": [{\"name\": \"a\", \"operator\": \"x\"}], \"channels\": []}"s;

    EXPECT_EQ(parse_pipeline(text).stages.size(), 1U);
}

TEST(HostileFile, IsLimitedInDepth) {
    const auto nested = [](std::size_t depth) {
        return R"({"stages": [{"name": "a", "operator": "x", "params": {"p": )" + repeated("[", depth) +
               repeated("]", depth) + "}}], \"channels\": []}";
    };

    EXPECT_EQ(parse_pipeline(nested(60)).stages.size(), 1U);  // four levels are those around it
    EXPECT_THAT(message_for(nested(61)), HasSubstr("is nested deeper than 64"));
    EXPECT_THAT(message_for(repeated("[", 1'000'000)), HasSubstr("is nested deeper than 64"));
}

TEST(HostileFile, IsLimitedInSize) {
    EXPECT_THAT(message_for(std::string((16U << 20U) + 1, ' ')), HasSubstr("is larger than 16 MiB"));
}

TEST(HostileFile, IsLimitedInValues) {
    EXPECT_THAT(message_for("[" + repeated("0,", 1'000'000) + "0]"), HasSubstr("has more values than 1000000"));
}

TEST(HostileFile, IsLimitedInStringsAndKeys) {
    const std::string longest(65'536, 'a');

    EXPECT_THAT(message_for("{\"description\": \"" + longest + "a\"}"),
                HasSubstr("a string has more bytes than 65536"));
    EXPECT_THAT(message_for("{\"" + longest + "a\": 1}"), HasSubstr("a key has more bytes than 65536"));
    EXPECT_THAT(message_for("{\"" + longest + "\": 1}"), HasSubstr("unknown key \"aaa"));
}

TEST(HostileFile, IsLimitedInStagesAndChannels) {
    const auto stages = repeated("0,", 4096) + "0";
    const auto channels = repeated("0,", 65'535) + "0";

    EXPECT_THAT(message_for("{\"stages\": [" + stages + "], \"channels\": []}"),
                HasSubstr("has 4097 elements, the limit is 4096"));
    EXPECT_THAT(message_for(R"({"stages": [{"name": "a", "operator": "x"}], "channels": [)" + channels + "]}"),
                HasSubstr("has 65536 elements, the limit is 65535"));
}

TEST(HostileFile, IsLimitedInIntegers) {
    EXPECT_THAT(message_for("{\"a\": 9223372036854775808}"), HasSubstr("does not fit into 64 bits"));
    EXPECT_THAT(message_for("{\"a\": -99999999999999999999}"), HasSubstr("does not fit into 64 bits"));
    EXPECT_THAT(message_for("{\"a\": " + std::string(300, '9') + "}"), HasSubstr("does not fit into 64 bits"));
}

TEST(HostileFile, CannotFloodTheMessage) {
    const std::string flood(60'000, 'z');

    EXPECT_LT(message_for("{\"description\": " + flood + "}").size(), 400U);
    EXPECT_LT(message_for("{\"" + flood + "\": 1}").size(), 500U);
    EXPECT_LT(message_for("{\"pipeline\": \"" + flood + "\"}").size(), 800U);
}

TEST(HostileFile, CannotSendEscapesToTheTerminal) {
    EXPECT_THAT(message_for("{\"\\u001b[2J\": 1}"), HasSubstr("\\x1b[2J"));
    EXPECT_THAT(message_for("{\"\\u001b[2J\": 1}"), testing::Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace penstock
