#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_runtime.hpp"

namespace penstock {
namespace {

using test::params;
using testing::HasSubstr;

struct Nothing final : Processor {
    void process(const Payload&, Output&) override {}
};

OperatorInfo described(std::vector<ParamInfo> infos) {
    return {.name = "op", .kind = OperatorKind::processor, .help = "Test.", .params = std::move(infos)};
}

Registry registry_of(OperatorInfo info) {
    Registry registry;
    registry.add<Nothing>(std::move(info));
    return registry;
}

Params completed(const ParamInfo& info, const Params& given, const std::map<std::string, std::string>& env = {}) {
    const Registry registry = registry_of(described({info}));
    return registry.complete(*registry.find("op"), given, env);
}

template <class Action>
std::string failure_of(const Action& action) {
    try {
        static_cast<void>(action());
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::invalid_input);
        return error.what();
    }
    return "no error";
}

const ParamInfo integer{.name = "count",
                        .kind = ParamKind::integer,
                        .help = "Things.",
                        .fallback = ParamValue{std::int64_t{5}},
                        .unit = "things",
                        .env = "COUNT",
                        .minimum = 1,
                        .maximum = 10};

TEST(Registry, KnowsTheBuiltInOperators) {
    std::vector<std::string> names;
    const Registry registry = Registry::with_builtins();
    for (const OperatorInfo* info : registry.list()) names.push_back(info->name);

    EXPECT_THAT(names, testing::IsSupersetOf({"csv_sink", "null", "pass", "pattern", "records", "scale_records"}));
    EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST(Registry, PrefersParamsToTheEnvironmentAndThatToTheDefault) {
    const Params given = params({{"count", ParamValue{std::int64_t{2}}}});

    EXPECT_EQ(completed(integer, given, {{"COUNT", "3"}}).get<std::int64_t>("count"), 2);
    EXPECT_EQ(completed(integer, {}, {{"COUNT", "3"}}).get<std::int64_t>("count"), 3);
    EXPECT_EQ(completed(integer, {}, {{"OTHER", "3"}}).get<std::int64_t>("count"), 5);
}

TEST(Registry, SuggestsTheParameterThatWasMeant) {
    EXPECT_EQ(failure_of([] {
                  return completed(integer, params({{"cuont", ParamValue{true}}}));
              }),
              "invalid input: operator \"op\" has no parameter \"cuont\"; did you mean \"count\"?");
    EXPECT_THAT(failure_of([] {
                    return completed(integer, params({{"factor", ParamValue{true}}}));
                }),
                HasSubstr("its parameters are count"));
}

TEST(Registry, LeavesUnknownParametersToAnOperatorThatTakesAny) {
    Registry registry;
    registry.add<Nothing>("op");

    const Params given = params({{"free", ParamValue{true}}});
    EXPECT_EQ(registry.complete(*registry.find("op"), given, {}), given);
}

TEST(Registry, RefusesAValueOfAnotherKind) {
    EXPECT_EQ(failure_of([] {
                  return completed(integer, params({{"count", ParamValue{std::string{"two"}}}}));
              }),
              "invalid input: parameter \"count\" must be an integer, not \"two\"");
    EXPECT_EQ(failure_of([] {
                  return completed(integer, params({{"count", ParamValue{2.5}}}));
              }),
              "invalid input: parameter \"count\" must be an integer, not 2.5");
}

TEST(Registry, TakesAnIntegerWrittenLikeANumber) {
    EXPECT_EQ(completed(integer, params({{"count", ParamValue{1e1}}})).get<std::int64_t>("count"), 10);
}

TEST(Registry, KeepsNumbersInTheirRange) {
    EXPECT_EQ(failure_of([] {
                  return completed(integer, params({{"count", ParamValue{std::int64_t{0}}}}));
              }),
              "invalid input: parameter \"count\" must be at least 1 things, not 0");
    EXPECT_EQ(failure_of([] {
                  return completed(integer, params({{"count", ParamValue{std::int64_t{11}}}}));
              }),
              "invalid input: parameter \"count\" must be at most 10 things, not 11");
}

TEST(Registry, NamesTheVariableThatHoldsABadValue) {
    EXPECT_EQ(failure_of([] {
                  return completed(integer, {}, {{"COUNT", "many"}});
              }),
              "invalid input: parameter \"count\" must be an integer, not \"many\"\n"
              "  while reading it from environment variable \"COUNT\"");
    EXPECT_THAT(failure_of([] {
                    return completed(integer, {}, {{"COUNT", "99"}});
                }),
                testing::AllOf(HasSubstr("at most 10"), HasSubstr("COUNT")));
    EXPECT_THAT(failure_of([] { return completed(integer, {}, {{"COUNT", ""}}); }), HasSubstr("not \"\""));
}

TEST(Registry, ReadsEveryKindFromTheEnvironment) {
    const auto read = [](ParamKind kind, const std::string& text) {
        return *completed({.name = "p", .kind = kind, .help = "", .env = "P"}, {}, {{"P", text}}).find("p");
    };

    EXPECT_EQ(read(ParamKind::boolean, "on"), ParamValue{true});
    EXPECT_EQ(read(ParamKind::boolean, "0"), ParamValue{false});
    EXPECT_EQ(read(ParamKind::integer, "-7"), ParamValue{std::int64_t{-7}});
    EXPECT_EQ(read(ParamKind::number, "2.5"), ParamValue{2.5});
    EXPECT_EQ(read(ParamKind::string, "12"), ParamValue{std::string{"12"}});
    EXPECT_EQ(read(ParamKind::duration, "2s"), ParamValue{std::int64_t{2000}});
    EXPECT_EQ(read(ParamKind::size, "64KiB"), ParamValue{std::int64_t{65536}});
    EXPECT_EQ(read(ParamKind::list, "a,b"),
              (ParamValue{ParamValue::List{ParamValue{std::string{"a"}}, ParamValue{std::string{"b"}}}}));
}

TEST(Registry, CompletesDurationsToMillisecondsAndSizesToBytes) {
    const ParamInfo wait{.name = "wait", .kind = ParamKind::duration, .help = "", .unit = "ms", .minimum = 0};
    const ParamInfo size{.name = "size", .kind = ParamKind::size, .help = "", .unit = "bytes", .minimum = 0};

    EXPECT_EQ(completed(wait, params({{"wait", ParamValue{std::string{"1m"}}}})).get<double>("wait"), 60'000);
    EXPECT_EQ(completed(wait, params({{"wait", ParamValue{0.5}}})).get<double>("wait"), 0.5);
    EXPECT_EQ(completed(size, params({{"size", ParamValue{std::string{"1MB"}}}})).get<std::int64_t>("size"), 1'000'000);
    EXPECT_THAT(failure_of([&] {
                    return completed(wait, params({{"wait", ParamValue{std::string{"soon"}}}}));
                }),
                HasSubstr("must be a duration such as"));
    EXPECT_THAT(failure_of([&] {
                    return completed(size, params({{"size", ParamValue{-1.0}}}));
                }),
                HasSubstr("at least 0 bytes"));
    EXPECT_THAT(failure_of([&] {
                    return completed(size, params({{"size", ParamValue{true}}}));
                }),
                HasSubstr("must be a size such as"));
}

TEST(Registry, OffersTheChoices) {
    const ParamInfo mode{.name = "mode", .kind = ParamKind::string, .help = "", .choices = {"fast", "exact"}};

    EXPECT_EQ(completed(mode, params({{"mode", ParamValue{std::string{"fast"}}}})).get<std::string>("mode"), "fast");
    EXPECT_THAT(failure_of([&] {
                    return completed(mode, params({{"mode", ParamValue{std::string{"fats"}}}}));
                }),
                HasSubstr("\"mode\" cannot be \"fats\"; did you mean \"fast\"?"));
}

TEST(Registry, AsksForARequiredParameter) {
    const ParamInfo required{.name = "output", .kind = ParamKind::string, .help = "File to write."};

    EXPECT_EQ(failure_of([&] { return completed(required, {}); }),
              "invalid input: operator \"op\" needs parameter \"output\": File to write.");
}

TEST(Registry, RefusesANameThatIsTakenOrIsNoIdentifier) {
    Registry registry;
    registry.add<Nothing>("op");

    const auto add = [&](const std::string& name) {
        return failure_of([&] {
            registry.add<Nothing>(name);
            return 0;
        });
    };
    EXPECT_THAT(add("op"), HasSubstr("there is an operator \"op\" already"));
    EXPECT_THAT(add(""), HasSubstr("cannot name an operator"));
    EXPECT_THAT(add("1st"), HasSubstr("cannot name an operator"));
    EXPECT_THAT(add("a b"), HasSubstr("cannot name an operator"));
    EXPECT_EQ(add("a-b_2.c"), "no error");
}

TEST(Registry, RefusesADescriptionThatContradictsItself) {
    ParamInfo bad_default = integer;
    bad_default.fallback = ParamValue{std::int64_t{0}};

    EXPECT_THAT(failure_of([&] { return registry_of(described({bad_default})); }),
                testing::AllOf(HasSubstr("must be at least 1"), HasSubstr("while adding operator \"op\"")));
    EXPECT_THAT(failure_of([&] {
                    return registry_of(described({integer, integer}));
                }),
                HasSubstr("describes parameter \"count\" twice"));
}

TEST(Registry, SuggestsTheOperatorThatWasMeant) {
    const Registry registry = Registry::with_builtins();
    test::FakeContext context;

    EXPECT_EQ(registry.nearest("csvsink"), "csv_sink");
    EXPECT_EQ(registry.nearest("something else"), std::nullopt);
    EXPECT_THAT(failure_of([&] { return registry.make("record", {}, context); }),
                HasSubstr("there is no operator \"record\"; did you mean \"records\"?"));
}

TEST(Registry, RefusesAFactoryThatMakesAnotherKind) {
    Registry registry;
    registry.add({.name = "liar", .kind = OperatorKind::source, .help = ""},
                 [](const Params&, StageContext&) -> Operator { return std::make_unique<Nothing>(); });
    test::FakeContext context;

    EXPECT_THAT(failure_of([&] { return registry.make("liar", {}, context); }),
                HasSubstr("described as a source but its factory made a processor"));
}

struct FromContext final : Source {
    FromContext(const Params& params, StageContext& context)
        : sum{params.get<std::int64_t>("n") + context.instances()} {}
    bool produce(Output&) override { return false; }
    std::int64_t sum;
};
struct FromParams final : Sink {
    explicit FromParams(const Params& params) : n{params.get<std::int64_t>("n")} {}
    void consume(const Payload&) override {}
    std::int64_t n;
};

TEST(Registry, ConstructsFromWhatAnOperatorWantsToKnow) {
    Registry registry;
    registry.add<FromContext>("context");
    registry.add<FromParams>("params");
    registry.add<Nothing>("nothing");
    test::FakeContext context;
    context.instance_count = 3;
    const Params given = params({{"n", ParamValue{std::int64_t{4}}}});

    const auto source = std::get<std::unique_ptr<Source>>(registry.make("context", given, context));
    const auto sink = std::get<std::unique_ptr<Sink>>(registry.make("params", given, context));
    const auto processor = std::get<std::unique_ptr<Processor>>(registry.make("nothing", given, context));

    EXPECT_EQ(dynamic_cast<FromContext&>(*source).sum, 7);
    EXPECT_EQ(dynamic_cast<FromParams&>(*sink).n, 4);
    EXPECT_NE(processor, nullptr);
    EXPECT_EQ(registry.find("context")->kind, OperatorKind::source);
    EXPECT_EQ(registry.find("params")->kind, OperatorKind::sink);
}

TEST(Registry, RefusesDurationsBeyondWhatAClockCounts) {
    const OperatorInfo info{.name = "waiter",
                            .help = "",
                            .params = {{.name = "wait", .kind = ParamKind::duration, .help = "", .unit = "ms"}}};
    const Registry registry;
    for (const ParamValue& wrong :
         {ParamValue{1e300}, ParamValue{std::int64_t{9'223'372'036'855}}, ParamValue{-1e300}}) {
        EXPECT_THROW((void)registry.complete(info, params({{"wait", wrong}}), {}), Error);
    }
    EXPECT_NO_THROW((void)registry.complete(info, params({{"wait", ParamValue{std::int64_t{1'000'000'000'000}}}}), {}));
}

}  // namespace
}  // namespace penstock
