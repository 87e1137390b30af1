#include <gtest/gtest.h>

#include <penstock/error.hpp>
#include <penstock/params.hpp>

namespace penstock {
namespace {

std::string failure_of(const auto& action) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::invalid_input);
        return error.what();
    }
    return "no error";
}

TEST(Params, ReturnWhatWasSet) {
    Params params;
    params.set("flag", ParamValue{true});
    params.set("count", ParamValue{std::int64_t{7}});
    params.set("factor", ParamValue{2.5});
    params.set("name", ParamValue{std::string{"x"}});
    params.set("list", ParamValue{ParamValue::List{ParamValue{false}, ParamValue{std::string{"y"}}}});

    EXPECT_TRUE(params.get<bool>("flag"));
    EXPECT_EQ(params.get<std::int64_t>("count"), 7);
    EXPECT_EQ(params.get<double>("factor"), 2.5);
    EXPECT_EQ(params.get<std::string>("name"), "x");
    EXPECT_EQ(params.get<ParamValue::List>("list").size(), 2U);
}

TEST(Params, TakeAnIntegerWhereANumberIsAskedForButNotTheOtherWay) {
    Params params;
    params.set("integer", ParamValue{std::int64_t{3}});
    params.set("number", ParamValue{3.0});

    EXPECT_EQ(params.get<double>("integer"), 3.0);
    EXPECT_EQ(failure_of([&] { return params.get<std::int64_t>("number"); }),
              "invalid input: parameter \"number\" must be of kind integer, not the number 3.0");
}

TEST(Params, NameAMissingParameter) {
    EXPECT_EQ(failure_of([] { return Params{}.get<bool>("flag"); }), "invalid input: parameter \"flag\" is missing");
}

TEST(Params, FallBackOnlyWhenMissing) {
    Params params;
    params.set("name", ParamValue{std::string{"set"}});

    EXPECT_EQ(params.get_or<std::string>("name", "fallback"), "set");
    EXPECT_EQ(params.get_or<std::string>("other", "fallback"), "fallback");
    EXPECT_NE(failure_of([&] { return params.get_or<bool>("name", false); }), "no error");
}

TEST(Params, CutTheTextOfALongValueInAnError) {
    Params params;
    params.set("name", ParamValue{std::string(10'000, 'a')});

    EXPECT_LT(failure_of([&] { return params.get<bool>("name"); }).size(), 200U);
}

TEST(ParamValue, HasTheTextThatStandsInAFile) {
    const ParamValue list{ParamValue::List{ParamValue{true}, ParamValue{std::int64_t{-5}}, ParamValue{1.0},
                                           ParamValue{0.1}, ParamValue{1e300},
                                           ParamValue{std::string{"a \"quoted\"\\\n\x01"}}}};

    EXPECT_EQ(list.text(), R"([true, -5, 1.0, 0.1, 1e+300, "a \"quoted\"\\\u000a\u0001"])");
    EXPECT_EQ(ParamValue{ParamValue::List{}}.text(), "[]");
}

TEST(ParamValue, NamesItsKind) {
    EXPECT_EQ(ParamValue{false}.kind(), "boolean");
    EXPECT_EQ(ParamValue{std::int64_t{0}}.kind(), "integer");
    EXPECT_EQ(ParamValue{0.0}.kind(), "number");
    EXPECT_EQ(ParamValue{std::string{}}.kind(), "string");
    EXPECT_EQ(ParamValue{ParamValue::List{}}.kind(), "list");
}

}  // namespace
}  // namespace penstock
