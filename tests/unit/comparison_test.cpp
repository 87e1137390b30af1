#include "base/comparison.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <penstock/error.hpp>

#include "unit/error_of.hpp"

namespace penstock {
namespace {

using ::testing::HasSubstr;

struct Read {
    const char* text;
    const char* key;
    const char* op;
    const char* value;
};
class Comparisons : public ::testing::TestWithParam<Read> {};

TEST_P(Comparisons, AreRead) {
    const Comparison read = parse_comparison(GetParam().text);

    EXPECT_EQ(read.key, GetParam().key);
    EXPECT_EQ(read.op, GetParam().op);
    EXPECT_EQ(read.value, GetParam().value);
}

INSTANTIATE_TEST_SUITE_P(
    Texts, Comparisons,
    ::testing::Values(Read{"energy > 5", "energy", ">", "5"}, Read{"energy>=-1.5e3", "energy", ">=", "-1.5e3"},
                      Read{" a.b-c <\t7 ", "a.b-c", "<", "7"}, Read{"a<=b", "a", "<=", "b"},
                      Read{"kind == two words", "kind", "==", "two words"}, Read{"kind != ' x '", "kind", "!=", " x "},
                      Read{"kind == \"\"", "kind", "==", ""}, Read{"kind == \"it's\"", "kind", "==", "it's"},
                      Read{"kind == 'open", "kind", "==", "'open"}, Read{"kind == 'a && b'", "kind", "==", "a && b"},
                      Read{"id exists", "id", "exists", ""}, Read{"  id\tmissing ", "id", "missing", ""},
                      Read{"exists exists", "exists", "exists", ""}));

struct Refused {
    const char* text;
    const char* why;
};
class BrokenComparisons : public ::testing::TestWithParam<Refused> {};

TEST_P(BrokenComparisons, AreRefusedWithTheReasonAndTheForm) {
    const Error error = error_of([] { static_cast<void>(parse_comparison(GetParam().text)); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr(GetParam().why));
    EXPECT_THAT(error.what(), HasSubstr("\"energy > 5\""));
}

INSTANTIATE_TEST_SUITE_P(Texts, BrokenComparisons,
                         ::testing::Values(Refused{"", "names no metadata key"}, Refused{" \t ", "names no"},
                                           Refused{"> 5", "names no metadata key"},
                                           Refused{"energy", "asks nothing of \"energy\""},
                                           Refused{"energy = 5", "has \"= 5\" after the key"},
                                           Refused{"energy is 5", "has \"is 5\" after the key"},
                                           Refused{"energy exists 5", "has \"exists 5\" after the key"},
                                           Refused{"energy >", "has no value after \">\""},
                                           Refused{"energy == ", "has no value after \"==\""},
                                           Refused{"energy < ''", "is < nothing"},
                                           Refused{"energy > 5 && energy < 7", "has 5 && energy < 7 for one value"},
                                           Refused{"kind == 'a' || kind == 'b'", "for one value"}));

}  // namespace
}  // namespace penstock
