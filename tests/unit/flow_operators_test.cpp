#include <chrono>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/pattern_fill.hpp"
#include "support/processor_test.hpp"

namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using test::params;
using test::text;
using test::through;
using test::whole;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;

ParamValue texts(std::initializer_list<const char*> values) {
    ParamValue::List list(values.size());
    std::ranges::transform(values, list.begin(), text);
    return ParamValue{std::move(list)};
}

class FlowOperator : public test::ProcessorTest {
protected:
    [[nodiscard]] std::vector<std::string> emitted_texts() const {
        std::vector<std::string> found;
        for (const auto& payload : out_.emitted) found.emplace_back(payload.text());
        return found;
    }
    template <class Value>
    Payload with(const char* key, Value value, std::string_view content = "") {
        auto draft = out_.draft<char>(content.size());
        std::ranges::copy(content, draft.begin());
        draft.set(key, value);
        return out_.sealed(std::move(draft));
    }
    Payload with_user_id(std::uint64_t id, std::string_view content = "") {
        Payload payload = out_.text(content);
        payload.body()->has_user_id = true;
        payload.body()->user_id = id;
        return payload;
    }
    Payload at_time(std::uint64_t milliseconds, std::string_view content) {
        Payload payload = out_.text(content);
        payload.body()->source_time_ns = milliseconds * 1'000'000;
        return payload;
    }
};

/// The payloads that nobody holds any more, as long as this object lives.
struct Settled {
    explicit Settled(FakeOutput& output) : out{output} {
        out.on_settled = [this](PayloadId id) { sequences.push_back(id.sequence); };
    }
    ~Settled() { out.on_settled = nullptr; }
    Settled(const Settled&) = delete;
    Settled& operator=(const Settled&) = delete;

    FakeOutput& out;
    std::vector<std::uint64_t> sequences;
};

// --- filter ---

using Filter = FlowOperator;

TEST_F(Filter, HandsOnWhatPassesByReference) {
    start("filter", params({{"key", text("n")}, {"op", text(">=")}, {"value", text("5")}}));
    const Payload five = with("n", 5);

    process(five);
    process(with("n", 4));
    process(with("n", 5.5));
    process(with("other", 9));
    process(with("n", "9"));

    ASSERT_EQ(out_.emitted.size(), 3U);
    EXPECT_EQ(out_.emitted[0].body(), five.body());
    EXPECT_EQ(counted("filtered"), 2U);
}

struct Comparison {
    const char* op;
    const char* value;
    bool integer;  ///< Whether 7 passes.
    bool number;   ///< 7.5
    bool string;   ///< "abc"
    bool boolean;  ///< true
    bool missing;
};

class FilterComparison : public FlowOperator, public testing::WithParamInterface<Comparison> {};

TEST_P(FilterComparison, ComparesEachKind) {
    const Comparison& expected = GetParam();
    start("filter", params({{"key", text("k")}, {"op", text(expected.op)}, {"value", text(expected.value)}}));
    const auto passes = [&](const Payload& payload) {
        const std::size_t before = out_.emitted.size();
        process(payload);
        return out_.emitted.size() > before;
    };

    EXPECT_EQ(passes(with("k", 7)), expected.integer);
    EXPECT_EQ(passes(with("k", 7.5)), expected.number);
    EXPECT_EQ(passes(with("k", "abc")), expected.string);
    EXPECT_EQ(passes(with("k", MetaValue{true})), expected.boolean);
    EXPECT_EQ(passes(out_.text("")), expected.missing);
}

INSTANTIATE_TEST_SUITE_P(Filter, FilterComparison,
                         testing::Values(Comparison{"==", "7", true, false, false, false, false},
                                         Comparison{"==", "7.5", false, true, false, false, false},
                                         Comparison{"==", "abc", false, false, true, false, false},
                                         Comparison{"==", "true", false, false, false, true, false},
                                         Comparison{"!=", "7", false, true, true, true, false},
                                         Comparison{"<", "7.2", true, false, false, false, false},
                                         Comparison{"<=", "7", true, false, false, false, false},
                                         Comparison{">", "7", false, true, true, false, false},
                                         Comparison{">=", "abc", false, false, true, false, false},
                                         Comparison{"exists", "", true, true, true, true, false},
                                         Comparison{"missing", "", false, false, false, false, true}));

TEST_F(Filter, TellsLargeIntegersApart) {
    start("filter", params({{"key", text("n")}, {"value", text("9007199254740993")}}));

    process(with("n", 9007199254740993));
    process(with("n", 9007199254740992));

    EXPECT_EQ(out_.emitted.size(), 1U);
}

TEST_F(Filter, RefusesWhatItCannotCompare) {
    EXPECT_THAT(refusal("filter", params({{"key", text("")}})), HasSubstr("must name a metadata key"));
    EXPECT_THAT(refusal("filter", params({{"key", text("k")}, {"op", text("<")}})), HasSubstr("needs a \"value\""));
}

// --- split ---

using Split = FlowOperator;

TEST_F(Split, SendsPayloadsToTheChannelTheirValueNames) {
    start("split", params({{"key", text("to")}, {"routes", texts({"a=b=second"})}, {"otherwise", text("first")}}));

    process(with("to", "second"));
    process(with("to", "a=b"));
    process(with("to", "elsewhere"));
    process(out_.text(""));

    EXPECT_THAT(out_.channels, ElementsAre("second", "second", "first", "first"));
}

TEST_F(Split, CountsWhatHasNoChannel) {
    start("split", params({{"key", text("to")}, {"routes", texts({"7=second"})}}));

    process(with("to", 7));
    process(with("to", 8));

    EXPECT_THAT(out_.channels, ElementsAre("second"));
    EXPECT_EQ(counted("unrouted"), 1U);
}

TEST_F(Split, ComparesIfAsked) {
    start("split", params({{"by", text("comparison")},
                           {"key", text("n")},
                           {"op", text("<")},
                           {"value", text("0")},
                           {"channel", text("first")},
                           {"otherwise", text("second")}}));

    process(with("n", -1));
    process(with("n", 1));

    EXPECT_THAT(out_.channels, ElementsAre("first", "second"));
}

TEST_F(Split, CutsAlongTheFirstDimension) {
    start("split", params({{"by", text("parts")}, {"parts", whole(3)}}));
    std::vector<std::int32_t> numbers(14);
    std::iota(numbers.begin(), numbers.end(), 0);

    process(out_.vector(numbers, Shape{7, 2}));

    ASSERT_EQ(out_.emitted.size(), 3U);
    EXPECT_EQ(out_.emitted[0].shape(), (Shape{3, 2}));
    EXPECT_THAT(out_.emitted[1].view<std::int32_t>(), ElementsAre(6, 7, 8, 9));
    EXPECT_THAT(out_.emitted[2].view<std::int32_t>(), ElementsAre(10, 11, 12, 13));
    EXPECT_EQ(out_.emitted[2].metadata().integer("part"), 2);
    EXPECT_EQ(out_.emitted[2].metadata().integer("parts"), 3);
}

TEST_F(Split, MakesNoMorePartsThanRows) {
    start("split", params({{"by", text("parts")}, {"parts", whole(3)}}));

    process(out_.vector<float>({1, 2}));
    process(out_.vector<float>({}));

    EXPECT_EQ(out_.emitted.size(), 3U);
    EXPECT_EQ(last().size_bytes(), 0U);
}

TEST_F(Split, RefusesChannelsThatThereAreNot) {
    EXPECT_THAT(refusal("split", params({{"key", text("k")}, {"otherwise", text("secnd")}})),
                HasSubstr("parameter \"otherwise\": no channel \"secnd\" leads out of stage \"stage\"; did you mean "
                          "\"second\"?"));
    EXPECT_THAT(refusal("split", params({{"key", text("k")}, {"routes", texts({"a=third"})}})),
                HasSubstr("no channel \"third\""));
    EXPECT_THAT(refusal("split", params({{"key", text("k")}, {"routes", texts({"a"})}})), HasSubstr("value=channel"));
    EXPECT_THAT(refusal("split", {}), HasSubstr("must name the metadata key"));
    EXPECT_THAT(refusal("split", params({{"by", text("comparison")}, {"key", text("k")}})),
                HasSubstr("nothing goes anywhere"));
}

// --- merge ---

using Merge = FlowOperator;

TEST_F(Merge, HandsOnWhatArrives) {
    start("merge");
    const Payload payload = out_.text("x");

    process(payload);

    EXPECT_EQ(last().body(), payload.body());
}

TEST_F(Merge, OrdersByUserId) {
    start("merge", params({{"order", text("user_id")}, {"first", whole(1)}}));

    for (const std::uint64_t id : {3U, 1U, 2U, 2U, 5U, 4U}) process(with_user_id(id, std::to_string(id)));

    // The second 2 comes when its turn is over.
    EXPECT_THAT(emitted_texts(), ElementsAre("1", "2", "3", "2", "4", "5"));
    EXPECT_EQ(counted("late"), 1U);
    EXPECT_EQ(counted("missing"), 0U);
}

TEST_F(Merge, GivesUpAGapWhenItsBufferIsFull) {
    start("merge", params({{"order", text("key")}, {"key", text("n")}, {"buffer", whole(2)}}));

    for (const int n : {3, 4, 7, 5}) process(with("n", n, std::to_string(n)));
    EXPECT_THAT(emitted_texts(), ElementsAre("3", "4", "5"));
    process(with("n", 1, "1"));
    finish();

    EXPECT_THAT(emitted_texts(), ElementsAre("3", "4", "5", "1", "7"));
    EXPECT_EQ(counted("missing"), 4U);
    EXPECT_EQ(counted("late"), 1U);
}

TEST_F(Merge, EmitsEqualNumbersInTheOrderTheyCame) {
    start("merge", params({{"order", text("key")}, {"key", text("n")}}));

    process(with("n", 1, "a"));
    process(with("n", 1, "b"));
    process(with("n", 2, "c"));
    process(with("n", 0, "d"));

    EXPECT_THAT(emitted_texts(), ElementsAre("d", "a", "b", "c"));
    process(with("n", 3, "e"));
    EXPECT_EQ(emitted_texts().back(), "e");
    EXPECT_EQ(counted("late"), 0U);
}

TEST_F(Merge, CountsPayloadsWithoutANumber) {
    start("merge", params({{"order", text("user_id")}}));

    process(out_.text("x"));
    finish();

    EXPECT_TRUE(out_.emitted.empty());
    EXPECT_EQ(counted("malformed"), 1U);
}

// --- join ---

class Join : public FlowOperator {
protected:
    Payload left(std::uint64_t id, std::string_view content) { return through(0, with_user_id(id, content)); }
    Payload right(std::uint64_t id, std::string_view content) { return through(1, with_user_id(id, content)); }
};

TEST_F(Join, KeepsThePartnersUntilWhatItMadeOfThemIsSettled) {
    for (const char* emit : {"concatenate", "stack"}) {
        start("join", params({{"by", text("user_id")}, {"emit", text(emit)}}));
        const Settled settled{out_};

        process(left(1, "a"));
        process(right(1, "b"));
        EXPECT_THAT(settled.sequences, IsEmpty());

        out_.emitted.clear();
        EXPECT_THAT(settled.sequences, SizeIs(3));
    }
}

TEST_F(Join, LetsGoOfPartnersThatDoNotFit) {
    start("join", params({{"by", text("user_id")}}));
    const Settled settled{out_};

    process(left(1, "a"));
    Payload other = through(1, out_.vector<double>({1}));
    other.body()->has_user_id = true;
    other.body()->user_id = 1;
    process(std::exchange(other, Payload{}));

    EXPECT_EQ(counted("malformed"), 1U);
    EXPECT_THAT(settled.sequences, SizeIs(2));
}

TEST_F(Join, WaitsForThePartnerAndKeepsTheOrderOfTheChannels) {
    start("join", params({{"by", text("user_id")}, {"separator", text("+")}}));

    process(right(1, "b"));
    process(left(2, "c"));
    process(left(1, "a"));
    process(right(2, "d"));

    EXPECT_THAT(emitted_texts(), ElementsAre("a+b", "c+d"));
    EXPECT_EQ(out_.emitted[0].user_id(), 1U);
    EXPECT_EQ(counted("joined"), 2U);
    finish();
    EXPECT_EQ(counted("unmatched"), 0U);
}

TEST_F(Join, SaysNothingOfThePatternThatItsPartnersHad) {
    start("join", params({{"by", text("user_id")}}));
    for (const std::uint16_t channel : {std::uint16_t{0}, std::uint16_t{1}}) {
        auto draft = out_.draft<std::byte>(16);
        fill_pattern(draft.bytes(), 7);
        draft.set(pattern_key, 7);
        draft.set("run", 3);
        draft.set_user_id(1);
        process(through(channel, out_.sealed(std::move(draft))));
    }

    ASSERT_EQ(out_.emitted.size(), 1U);
    EXPECT_FALSE(out_.emitted[0].metadata().find(pattern_key));
    EXPECT_EQ(out_.emitted[0].metadata().integer("run"), 3);
    FakeContext context;
    make_builtin<Sink>("null", {}, context)->consume(out_.emitted[0]);
    EXPECT_EQ(context.counters["payloads"], 1U);
}

TEST_F(Join, FindsPartnersByTheIdThatTheyShare) {
    start("join");
    const Payload numbers = out_.vector<double>({1, 2});
    Payload others = out_.vector<double>({3});
    others.body()->id = numbers.id();

    process(through(0, numbers));
    process(through(1, others));

    EXPECT_THAT(last().view<double>(), ElementsAre(1, 2, 3));
}

TEST_F(Join, StacksTensorsIfAsked) {
    start("join", params({{"by", text("key")}, {"key", text("k")}, {"emit", text("stack")}}));
    const auto tensor = [&](float first) {
        auto draft = out_.draft<float>(Shape{1, 2});
        std::iota(draft.begin(), draft.end(), first);
        draft.set("k", "same");
        return out_.sealed(std::move(draft));
    };

    process(through(0, tensor(1)));
    process(through(1, tensor(5)));

    EXPECT_EQ(last().shape(), (Shape{2, 1, 2}));
    EXPECT_THAT(last().view<float>(), ElementsAre(1, 2, 5, 6));
}

TEST_F(Join, ConcatenatesAlongTheFirstDimensionWhereTheOthersAgree) {
    start("join", params({{"by", text("user_id")}}));
    const auto rows = [&](std::uint64_t count, std::uint16_t channel) {
        Payload payload = out_.vector(std::vector<float>(count * 3, 1.0F), Shape{count, 3});
        payload.body()->has_user_id = true;
        return through(channel, payload);
    };

    process(rows(2, 0));
    process(rows(1, 1));

    EXPECT_EQ(last().shape(), (Shape{3, 3}));
}

TEST_F(Join, CountsDuplicatesAndWhatNeverFindsItsPartner) {
    start("join", params({{"by", text("user_id")}}));

    process(left(1, "a"));
    process(left(1, "again"));
    process(right(2, "b"));
    finish();

    EXPECT_TRUE(out_.emitted.empty());
    EXPECT_EQ(counted("duplicates"), 1U);
    EXPECT_EQ(counted("unmatched"), 2U);
}

TEST_F(Join, GivesUpTheOldestWhenTooManyWait) {
    start("join", params({{"by", text("user_id")}, {"pending", whole(2)}, {"unmatched", text("second")}}));

    for (const std::uint64_t id : {1U, 2U, 3U}) process(left(id, std::to_string(id)));
    process(right(1, "x"));  // the 1 is gone: this one waits anew, and the 2 must go
    process(right(3, "y"));
    finish();

    EXPECT_THAT(emitted_texts(), ElementsAre("1", "2", "3\ny", "x"));
    EXPECT_THAT(out_.channels, ElementsAre("second", "second", "first", "second"));
    EXPECT_EQ(counted("evicted"), 2U);
    EXPECT_EQ(counted("unmatched"), 3U);
}

TEST_F(Join, CountsPartnersThatDoNotFit) {
    start("join", params({{"by", text("user_id")}}));
    Payload numbers = out_.vector<float>({1});
    numbers.body()->has_user_id = true;

    process(left(0, "a"));
    process(through(1, numbers));
    process(out_.text("no user id"));

    EXPECT_TRUE(out_.emitted.empty());
    EXPECT_EQ(counted("malformed"), 2U);
}

TEST_F(Join, UsesItsPlacesAgain) {
    start("join", params({{"by", text("user_id")}, {"pending", whole(3)}}));
    for (std::uint64_t id = 0; id < 1000; ++id) {
        process(left(id, "a"));
        process(right(id, "b"));
        out_.emitted.clear();
    }

    EXPECT_EQ(counted("joined"), 1000U);
    EXPECT_EQ(counted("evicted"), 0U);
}

TEST_F(Join, RefusesASingleInputChannel) {
    context_.input_ends = {{0, "only"}};

    EXPECT_THAT(refusal("join", {}), HasSubstr("needs two or more input channels, stage \"stage\" has 1"));
}

// --- tee ---

using Tee = FlowOperator;

TEST_F(Tee, SendsSamplesToAChannelOfTheirOwn) {
    start("tee", params({{"channel", text("second")}, {"every", whole(2)}}));

    for (int i = 0; i < 3; ++i) process(out_.text("x"));

    EXPECT_THAT(out_.channels, ElementsAre("first", "second", "first", "first", "second"));
    EXPECT_EQ(counted("sampled"), 2U);
}

TEST_F(Tee, LogsSamplesWithoutAChannel) {
    start("tee", params({{"every", whole(2)}}));

    for (int i = 0; i < 3; ++i) process(out_.vector<float>({1, 2}, Shape{1, 2}));
    finish();

    EXPECT_THAT(out_.channels, ElementsAre("", "", ""));
    EXPECT_THAT(context_.logger.messages(),
                ElementsAre("Payload 0 of rank 1: f32 [1 x 2], 8 bytes, 0 bytes of metadata",
                            "Payload 2 of rank 1: f32 [1 x 2], 8 bytes, 0 bytes of metadata",
                            "Passed on 3 payloads, 24 bytes"));
}

// --- sleep ---

using Sleep = FlowOperator;

std::vector<double> waits_of(const char* distribution, std::int64_t seed) {
    FakeContext context;
    FakeOutput out;
    const auto processor = make_builtin<Processor>(
        "sleep", params({{"duration", text("1000s")}, {"distribution", text(distribution)}, {"seed", whole(seed)}}),
        context);
    const auto now = std::chrono::steady_clock::now();
    for (int i = 0; i < 200; ++i) processor->process(out.text(""), out);
    std::vector<double> seconds;
    for (const auto& wait : context.waits) seconds.push_back(std::chrono::duration<double>(wait - now).count());
    return seconds;
}

TEST_F(Sleep, WaitsAsLongAsItsDistributionSays) {
    for (const double seconds : waits_of("constant", 1)) EXPECT_NEAR(seconds, 1000, 10);
    const auto uniform = waits_of("uniform", 1);
    EXPECT_NEAR(std::accumulate(uniform.begin(), uniform.end(), 0.0) / 200, 1000, 150);
    EXPECT_LT(std::ranges::max(uniform), 2010);
    const auto exponential = waits_of("exponential", 1);
    EXPECT_NEAR(std::accumulate(exponential.begin(), exponential.end(), 0.0) / 200, 1000, 300);
    EXPECT_GT(std::ranges::max(exponential), 2500);
}

TEST_F(Sleep, HasOtherWaitsForAnotherSeed) {
    EXPECT_GT(std::abs(waits_of("uniform", 1)[0] - waits_of("uniform", 2)[0]), 10);
}

TEST_F(Sleep, HandsOnByReference) {
    start("sleep", params({{"duration", whole(0)}}));
    const Payload payload = out_.text("x");

    process(payload);

    EXPECT_EQ(last().body(), payload.body());
    EXPECT_TRUE(context_.waits.empty());
}

// --- checksum ---

using Checksum = FlowOperator;

TEST_F(Checksum, AddsWhatItVerifies) {
    start("checksum");
    process(with("k", 1, "123456789"));
    const Payload checked = last();
    EXPECT_EQ(checked.metadata().integer("crc32c"), 0xe3069283);
    EXPECT_EQ(checked.metadata().integer("k"), 1);
    EXPECT_EQ(checked.text(), "123456789");

    start("checksum", params({{"mode", text("verify")}}));
    process(checked);

    EXPECT_EQ(last().body(), checked.body());
    EXPECT_EQ(counted("verified"), 1U);
}

TEST_F(Checksum, DropsCountsAndLocatesMismatches) {
    start("checksum", params({{"mode", text("verify")}}));

    process(with("crc32c", 1, "123456789"));
    process(out_.text("without"));

    ASSERT_EQ(out_.emitted.size(), 1U);
    EXPECT_EQ(counted("mismatches"), 1U);
    EXPECT_EQ(counted("unverified"), 1U);
    EXPECT_THAT(context_.logger.messages(), ElementsAre(HasSubstr("its checksum is e3069283, not 00000001")));
}

TEST_F(Checksum, EndsTheRunAtAMismatchIfAsked) {
    start("checksum", params({{"mode", text("verify")}, {"strict", ParamValue{true}}}));

    EXPECT_THROW(process(with("crc32c", 1, "x")), Error);
}

// --- window ---

using Window = FlowOperator;

TEST_F(Window, StacksSoManyPayloads) {
    start("window", params({{"size", whole(2)}}));

    process(out_.vector<float>({1, 2}));
    process(out_.vector<float>({3, 4}));
    process(out_.vector<float>({5, 6}));
    ASSERT_EQ(out_.emitted.size(), 1U);
    EXPECT_EQ(last().shape(), (Shape{2, 2}));
    EXPECT_THAT(last().view<float>(), ElementsAre(1, 2, 3, 4));
    EXPECT_EQ(last().metadata().integer("payloads"), 2);

    finish();
    EXPECT_EQ(last().shape(), (Shape{1, 2}));
    EXPECT_EQ(counted("windows"), 2U);
}

TEST_F(Window, KeepsItsPayloadsUntilItIsSettled) {
    start("window", params({{"size", whole(3)}, {"step", whole(2)}, {"separator", text("")}}));
    const Settled settled{out_};

    for (const char* letter : {"a", "b", "c", "d"}) process(out_.text(letter));
    ASSERT_THAT(emitted_texts(), ElementsAre("abc"));
    EXPECT_THAT(settled.sequences, IsEmpty());

    const std::uint64_t window = last().id().sequence;
    out_.emitted.clear();
    EXPECT_THAT(settled.sequences, ElementsAre(window, 0, 1)) << "the next window still needs the third";
    finish();
    EXPECT_THAT(settled.sequences, SizeIs(3));
    out_.emitted.clear();
    EXPECT_THAT(settled.sequences, SizeIs(6));
}

TEST_F(Window, SlidesBySteps) {
    start("window", params({{"size", whole(3)}, {"step", whole(1)}, {"separator", text("")}}));

    for (const char* letter : {"a", "b", "c", "d"}) process(out_.text(letter));
    finish();

    EXPECT_THAT(emitted_texts(), ElementsAre("abc", "bcd"));
}

TEST_F(Window, EmitsAtTheEndWhatNoWindowHadYet) {
    start("window", params({{"size", whole(4)}, {"step", whole(2)}, {"separator", text("")}}));

    for (const char* letter : {"a", "b", "c", "d", "e"}) process(out_.text(letter));
    finish();

    EXPECT_THAT(emitted_texts(), ElementsAre("abcd", "cde"));
}

TEST_F(Window, CountsWhatIsLeftOverIfItIsNotWanted) {
    start("window", params({{"size", whole(4)}, {"last", ParamValue{false}}}));

    process(out_.text("a"));
    finish();

    EXPECT_TRUE(out_.emitted.empty());
    EXPECT_EQ(counted("left_over"), 1U);
}

TEST_F(Window, HoldsSpansOfSourceTime) {
    start("window", params({{"by", text("time")}, {"length", whole(10)}, {"separator", text("")}}));

    process(at_time(1003, "a"));
    process(at_time(1009, "b"));
    process(at_time(1010, "c"));
    process(at_time(1008, "late"));
    process(at_time(5000, "d"));
    finish();

    EXPECT_THAT(emitted_texts(), ElementsAre("ab", "c", "d"));
    EXPECT_EQ(counted("late"), 1U);
    EXPECT_EQ(out_.emitted[0].metadata().integer("window_time_ns"), 1'000'000'000);
    EXPECT_EQ(out_.emitted[0].metadata().integer("last_time_ns"), 1'009'000'000);
    EXPECT_EQ(out_.emitted[2].metadata().integer("window_time_ns"), 5'000'000'000);
}

TEST_F(Window, SlidesInSourceTime) {
    start("window",
          params({{"by", text("time")}, {"length", whole(10)}, {"every", whole(5)}, {"separator", text("")}}));

    process(at_time(1001, "a"));
    process(at_time(1006, "b"));
    process(at_time(1012, "c"));
    finish();

    // From 995, 1000, 1005 on.
    EXPECT_THAT(emitted_texts(), ElementsAre("a", "ab", "bc"));
}

TEST_F(Window, EmitsAFullWindowOfTimeEarly) {
    start("window", params({{"by", text("time")}, {"length", whole(10)}, {"most", whole(2)}, {"separator", text("")}}));

    for (const char* letter : {"a", "b", "c"}) process(at_time(5, letter));
    finish();

    EXPECT_THAT(emitted_texts(), ElementsAre("ab", "c"));
    EXPECT_EQ(counted("early"), 1U);
}

TEST_F(Window, CountsPayloadsThatDoNotFit) {
    start("window", params({{"size", whole(2)}}));

    process(out_.vector<float>({1, 2}));
    process(out_.vector<float>({1, 2, 3}));
    process(out_.vector<double>({1, 2}));
    process(out_.vector<float>({3, 4}));

    ASSERT_EQ(out_.emitted.size(), 1U);
    EXPECT_EQ(counted("malformed"), 2U);
    EXPECT_THAT(context_.logger.messages(),
                ElementsAre(HasSubstr("its shape is [3], that of the payloads it belongs to is [2]"),
                            HasSubstr("its dtype is f64")));
}

TEST_F(Window, KeepsPayloadsByReferenceUntilTheWindowIsOut) {
    start("window", params({{"size", whole(2)}}));
    const std::size_t before = out_.used_bytes();
    process(out_.vector<double>(std::vector<double>(1000)));
    EXPECT_GE(out_.used_bytes(), before + 8000);

    process(out_.vector<double>(std::vector<double>(1000)));
    out_.emitted.clear();

    EXPECT_EQ(out_.used_bytes(), before);
}

TEST_F(Window, AsksForNoTicksUnlessItLingers) {
    start("window", {});

    EXPECT_EQ(context_.tick_period.count(), 0);
}

TEST_F(Window, IsEmittedWhenNothingComesForItsLinger) {
    start("window",
          params({{"by", text("time")}, {"length", whole(10)}, {"linger", whole(100)}, {"separator", text("")}}));
    const auto tick_for = [&](std::chrono::nanoseconds time) {
        for (auto passed = context_.tick_period; passed <= time; passed += context_.tick_period) tick();
    };

    process(at_time(1, "a"));
    tick_for(100ms);
    process(at_time(2, "b"));
    tick_for(100ms);
    EXPECT_TRUE(out_.emitted.empty()) << "the first tick may follow the payload at once";
    tick();
    EXPECT_THAT(emitted_texts(), ElementsAre("ab"));

    tick_for(1s);
    process(at_time(3, "c"));
    finish();
    EXPECT_THAT(emitted_texts(), ElementsAre("ab", "c"));
    EXPECT_EQ(counted("lingered"), 1U);
    EXPECT_EQ(counted("late"), 0U);
}

TEST_F(Window, OfCountLingersWithWhatNoWindowHadYet) {
    start("window", params({{"size", whole(4)}, {"step", whole(2)}, {"linger", whole(100)}, {"separator", text("")}}));
    const auto be_quiet = [&] {
        for (int i = 0; i < 5; ++i) tick();
    };

    for (const char* letter : {"a", "b", "c", "d"}) process(out_.text(letter));
    be_quiet();
    EXPECT_THAT(emitted_texts(), ElementsAre("abcd"));
    process(out_.text("e"));
    be_quiet();
    EXPECT_THAT(emitted_texts(), ElementsAre("abcd", "cde"));
    process(out_.text("f"));
    finish();
    EXPECT_THAT(emitted_texts(), ElementsAre("abcd", "cde", "f"));
}

TEST_F(Window, RefusesWindowsThatDoNotMeet) {
    EXPECT_THAT(refusal("window", params({{"size", whole(2)}, {"step", whole(3)}})), HasSubstr("must meet"));
    EXPECT_THAT(refusal("window", params({{"length", whole(2)}, {"every", whole(3)}})), HasSubstr("must meet"));
}

}  // namespace
}  // namespace penstock
