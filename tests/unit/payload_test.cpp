#include <array>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <penstock/memory.hpp>

#include "memory/payload_body.hpp"
#include "support/fake_runtime.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using test::FakeOutput;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

class PayloadTest : public ::testing::Test {
protected:
    FakeOutput out;
};

template <class T>
class TypedViewTest : public ::testing::Test {};

using WireTypes = ::testing::Types<std::byte, char, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t,
                                   std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, float, double>;
TYPED_TEST_SUITE(TypedViewTest, WireTypes);

template <Wire Asked>
void expect_view(const Payload& payload) {
    if (payload.dtype() == dtype_of<Asked>()) {
        EXPECT_EQ(payload.view<Asked>().size(), 3U);
        return;
    }
    const Error error = error_of([&] { static_cast<void>(payload.view<Asked>()); });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("'" + std::string{name_of(payload.dtype())} + "'"));
    EXPECT_THAT(error.what(), HasSubstr("'" + std::string{name_of(dtype_of<Asked>())} + "'"));
}

TYPED_TEST(TypedViewTest, IsGivenForItsOwnTypeOnly) {
    FakeOutput out;
    const Payload payload = out.vector(std::vector<TypeParam>(3, TypeParam{1}));

    EXPECT_EQ(payload.size_bytes(), 3 * sizeof(TypeParam));
    EXPECT_EQ(size_of(payload.dtype()), sizeof(TypeParam));
    expect_view<std::byte>(payload);
    expect_view<char>(payload);
    expect_view<std::int8_t>(payload);
    expect_view<std::uint8_t>(payload);
    expect_view<std::int16_t>(payload);
    expect_view<std::uint16_t>(payload);
    expect_view<std::int32_t>(payload);
    expect_view<std::uint32_t>(payload);
    expect_view<std::int64_t>(payload);
    expect_view<std::uint64_t>(payload);
    expect_view<float>(payload);
    expect_view<double>(payload);
}

TEST_F(PayloadTest, ReadsTextFromTextAndBytesOnly) {
    EXPECT_EQ(out.text("a,b").text(), "a,b");
    EXPECT_EQ(out.vector(std::vector<std::byte>{std::byte{'x'}}).text(), "x");
    const Payload numbers = out.vector(std::vector<float>{1});

    EXPECT_EQ(error_of([&] { static_cast<void>(numbers.text()); }).code(), Errc::invalid_input);
}

TEST_F(PayloadTest, FreesItsMemoryWithTheLastHandle) {
    const std::size_t before = out.used_bytes();
    Payload first = out.text(std::string(1000, 'x'));
    const std::size_t held = out.used_bytes();
    Payload second = first;

    first = Payload{};
    EXPECT_EQ(out.used_bytes(), held);
    const Payload third = std::move(second);
    EXPECT_FALSE(second);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_EQ(out.used_bytes(), held);
    EXPECT_EQ(third.text().size(), 1000U);
    EXPECT_GT(held, before);

    { const Payload last = std::exchange(const_cast<Payload&>(third), Payload{}); }
    EXPECT_EQ(out.used_bytes(), before);
}

TEST_F(PayloadTest, CountsHandlesThatThreadsCopyAndDropAtOnce) {
    const std::size_t before = out.used_bytes();
    {
        const Payload shared = out.text(std::string(1000, 'x'));
        std::vector<std::jthread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([&shared] {
                for (int round = 0; round < 2000; ++round) {
                    Payload copy = shared;
                    const Payload moved = std::move(copy);
                    EXPECT_EQ(moved.size_bytes(), 1000U);
                }
            });
        }
        threads.clear();
        EXPECT_EQ(shared.body()->refs.load(), 1U);
    }
    EXPECT_EQ(out.used_bytes(), before);
}

TEST(Shape, CountsElements) {
    EXPECT_EQ(Shape{}.count(), 0U);
    EXPECT_EQ((Shape{3}).count(), 3U);
    EXPECT_EQ((Shape{2, 3, 4}).count(), 24U);
    EXPECT_EQ((Shape{2, 0, 4}).count(), 0U);
    EXPECT_EQ((Shape{1, 1, 1, 1, 1, 1, 1, 1}).dims(), 8U);
    EXPECT_EQ((Shape{std::uint64_t{1} << 63U}).count(), std::uint64_t{1} << 63U);
}

TEST(Shape, RefusesTooManyExtentsAndTooManyElements) {
    const std::array<std::uint64_t, 9> nine{1, 1, 1, 1, 1, 1, 1, 1, 1};
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();

    EXPECT_EQ(error_of([&] { Shape{nine}; }).code(), Errc::invalid_input);
    EXPECT_EQ(error_of([&] { Shape{most}; }).code(), Errc::invalid_input);
    EXPECT_EQ(error_of([&] { (Shape{std::uint64_t{1} << 32U, std::uint64_t{1} << 32U}); }).code(), Errc::invalid_input);
}

TEST(Shape, ComparesByItsExtents) {
    EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
    EXPECT_FALSE((Shape{2, 3}) == (Shape{3, 2}));
    EXPECT_FALSE((Shape{2}) == (Shape{2, 1}));
    EXPECT_FALSE(Shape{} == Shape{0});
}

TEST_F(PayloadTest, IsCutByShrinking) {
    auto draft = out.draft<std::int32_t>(Shape{10, 10});

    draft.shrink(40);

    EXPECT_EQ(draft.size(), 10U);
    EXPECT_EQ(out.sealed(std::move(draft)).shape(), (Shape{10}));
}

TEST_F(PayloadTest, RefusesToShrinkToMoreOrToABrokenElement) {
    auto draft = out.draft<std::int32_t>(10);

    for (const std::size_t bytes : {41U, 44U, 39U, 1U}) {
        const Error error = error_of([&] { draft.shrink(bytes); });
        EXPECT_EQ(error.code(), Errc::invalid_input) << bytes;
        EXPECT_THAT(error.what(), HasSubstr(std::to_string(bytes)));
    }
    EXPECT_EQ(draft.size_bytes(), 40U);
    draft.shrink(0);
    EXPECT_EQ(draft.size(), 0U);
}

TEST_F(PayloadTest, CarriesFormatUserIdAndShape) {
    auto draft = out.draft<double>(Shape{2, 2});
    draft.set_format(Format::arrow);
    draft.set_user_id(0);

    const Payload payload = out.sealed(std::move(draft));

    EXPECT_EQ(payload.format(), Format::arrow);
    EXPECT_THAT(payload.user_id(), Optional(0U));
    EXPECT_EQ(payload.shape(), (Shape{2, 2}));
    EXPECT_EQ(out.text("x").user_id(), std::nullopt);
}

TEST_F(PayloadTest, ReturnsMetadataOfEveryKind) {
    constexpr auto least = std::numeric_limits<std::int64_t>::min();
    const std::array<std::byte, 3> raw{std::byte{0}, std::byte{255}, std::byte{7}};
    auto draft = out.draft<char>(1);
    draft.set("whole", least);
    draft.set("small", 7U);
    draft.set("number", 0.25);
    draft.set("yes", true);
    draft.set("no", false);
    draft.set("text", "with\nlines");
    draft.set("empty", "");
    draft.set("raw", MetaValue{std::span<const std::byte>{raw}});
    draft.set("nothing", MetaValue{std::span<const std::byte>{}});

    const Payload payload = out.sealed(std::move(draft));
    const MetadataView metadata = payload.metadata();

    EXPECT_TRUE(metadata.well_formed());
    EXPECT_EQ(metadata.integer("whole"), least);
    EXPECT_EQ(metadata.integer("small"), 7);
    EXPECT_EQ(metadata.number("small"), 7.0) << "an integer is a number";
    EXPECT_EQ(metadata.number("number"), 0.25);
    EXPECT_EQ(metadata.integer("number"), std::nullopt);
    EXPECT_TRUE(std::get<bool>(metadata.find("yes").value()));
    EXPECT_FALSE(std::get<bool>(metadata.find("no").value()));
    EXPECT_EQ(metadata.string("text"), "with\nlines");
    EXPECT_EQ(metadata.string("empty"), "");
    EXPECT_THAT(std::get<std::span<const std::byte>>(metadata.find("raw").value()), ::testing::ElementsAreArray(raw));
    EXPECT_TRUE(std::get<std::span<const std::byte>>(metadata.find("nothing").value()).empty());
    EXPECT_EQ(metadata.find("absent"), std::nullopt);
    EXPECT_EQ(metadata.string("whole"), std::nullopt);
}

TEST_F(PayloadTest, FindsTheFirstOfTwoEntriesOfOneKey) {
    auto draft = out.draft<char>(1);
    draft.set("key", 1);
    draft.set("key", 2);

    EXPECT_EQ(out.sealed(std::move(draft)).metadata().integer("key"), 1);
}

TEST_F(PayloadTest, LimitsKeysTo255Bytes) {
    auto draft = out.draft<char>(1);
    const std::string longest(255, 'k');
    draft.set(longest, 1);

    EXPECT_EQ(error_of([&] { draft.set(longest + "k", 1); }).code(), Errc::invalid_input);
    EXPECT_EQ(error_of([&] { draft.set("", 1); }).code(), Errc::invalid_input);
    EXPECT_EQ(out.sealed(std::move(draft)).metadata().integer(longest), 1);
}

TEST_F(PayloadTest, LimitsMetadataTo65535Bytes) {
    constexpr std::size_t entry_head = 6;
    auto full = out.draft<char>(1);
    full.set("k", std::string_view{std::string(max_metadata_bytes - entry_head - 1, 'v')});
    auto over = out.draft<char>(1);
    const std::string one_more(max_metadata_bytes - entry_head, 'v');

    EXPECT_EQ(full.body()->metadata.view().size(), max_metadata_bytes);
    const Error error = error_of([&] { full.set("x", ""); });
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("'x'"));
    EXPECT_EQ(error_of([&] { over.set("k", std::string_view{one_more}); }).code(), Errc::invalid_input);
    EXPECT_TRUE(over.body()->metadata.view().empty()) << "a refused entry left something behind";
}

TEST_F(PayloadTest, KeepsMetadataThatGrowsBeyondTheBody) {
    auto draft = out.draft<char>(1);
    for (int i = 0; i < 500; ++i) draft.set("key-" + std::to_string(i), i);

    const Payload payload = out.sealed(std::move(draft));

    EXPECT_TRUE(payload.metadata().well_formed());
    for (int i = 0; i < 500; ++i) EXPECT_EQ(payload.metadata().integer("key-" + std::to_string(i)), i);
}

TEST(MetaBytes, GrowsInPlaceAndKeepsItsContents) {
    MetaBytes bytes;
    std::string expected;
    for (const std::size_t more : {1U, 95U, 1U, 200U, 0U, 3U}) {
        const auto fill = static_cast<char>('a' + static_cast<char>(expected.size() % 26));
        std::memset(bytes.grow(more), fill, more);
        expected.append(more, fill);
        const auto view = bytes.view();
        EXPECT_EQ(std::string(reinterpret_cast<const char*>(view.data()), view.size()), expected);
    }
}

TEST(MetaBytes, IsReusedShortAfterLong) {
    MetaBytes bytes;
    std::memset(bytes.assign(5000), 'x', 5000);

    std::memcpy(bytes.assign(3), "abc", 3);
    std::memcpy(bytes.grow(2), "de", 2);

    EXPECT_EQ(std::memcmp(bytes.view().data(), "abcde", 5), 0);
    EXPECT_EQ(bytes.view().size(), 5U);
    bytes.clear();
    EXPECT_TRUE(bytes.view().empty());
}

TEST(BodyPool, RecyclesBodiesAndClearsWhatTheLastUserSet) {
    BodyPool pool;
    PayloadBody* body = pool.take();
    std::memset(body->metadata.grow(200), 1, 200);
    body->refs = 7;
    body->user_id = 9;
    body->has_user_id = body->has_block = body->has_id = body->received = body->fetching = true;
    body->format = Format::csv;
    body->data = body->inline_blob.data();
    body->parent = body;

    pool.put_back(body);
    PayloadBody* again = pool.take();

    ASSERT_EQ(again, body);
    EXPECT_EQ(again->refs.load(), 1U);
    EXPECT_TRUE(again->metadata.view().empty());
    EXPECT_FALSE(again->has_user_id || again->has_block || again->has_id || again->received || again->fetching);
    EXPECT_EQ(again->format, Format::none);
    EXPECT_EQ(again->data, nullptr);
    EXPECT_EQ(again->parent, nullptr);
    EXPECT_EQ(again->next, nullptr);
}

TEST(BodyPool, NeverGivesABodyTwice) {
    BodyPool pool;
    std::set<PayloadBody*> taken;
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(taken.insert(pool.take()).second);

    for (PayloadBody* body : taken) pool.put_back(body);
    std::set<PayloadBody*> again;
    for (int i = 0; i < 1000; ++i) again.insert(pool.take());

    EXPECT_EQ(again, taken) << "bodies that were given back are not reused";
}

[[nodiscard]] std::vector<std::byte> entry(std::uint8_t kind, std::uint8_t key_bytes, std::uint32_t value_bytes) {
    std::vector<std::byte> bytes(6);
    bytes[0] = std::byte{kind};
    bytes[1] = std::byte{key_bytes};
    std::memcpy(bytes.data() + 2, &value_bytes, sizeof value_bytes);
    return bytes;
}

TEST(MetadataView, FindsNothingInABrokenEncoding) {
    const auto broken = [](std::vector<std::byte> bytes, std::size_t rest) {
        bytes.resize(bytes.size() + rest, std::byte{'k'});
        const MetadataView view{bytes};
        return !view.well_formed() && !view.find("k") && !view.find("");
    };

    EXPECT_TRUE(broken(entry(5, 1, 8), 9)) << "unknown kind";
    EXPECT_TRUE(broken(entry(0, 1, 7), 8)) << "short integer";
    EXPECT_TRUE(broken(entry(1, 1, 9), 10)) << "long number";
    EXPECT_TRUE(broken(entry(2, 1, 0), 1)) << "bool without a value";
    EXPECT_TRUE(broken(entry(3, 1, 100), 50)) << "value beyond the end";
    EXPECT_TRUE(broken(entry(3, 200, 0), 100)) << "key beyond the end";
    EXPECT_TRUE(broken(entry(4, 255, 0xFFFFFFFFU), 300)) << "length of 4 GiB";
    EXPECT_TRUE(broken({std::byte{0}, std::byte{1}, std::byte{8}}, 0)) << "half a head";
    EXPECT_TRUE(MetadataView{}.well_formed());
}

/// Each copy stands in memory of exactly its size, so that a sanitizer sees the first byte read beyond it.
TEST_F(PayloadTest, NeverReadsHostileMetadataOutOfBounds) {
    auto draft = out.draft<char>(1);
    draft.set("whole", 1);
    draft.set("number", 0.5);
    draft.set("flag", true);
    draft.set("text", "value");
    const auto valid = draft.body()->metadata.view();
    std::mt19937 random{11};

    for (int round = 0; round < 20'000; ++round) {
        const auto kept = valid.first(random() % (valid.size() + 1));
        std::vector<std::byte> bytes(kept.begin(), kept.end());
        for (unsigned changes = random() % 4; changes > 0 && !bytes.empty(); --changes) {
            bytes[random() % bytes.size()] = static_cast<std::byte>(random());
        }
        bytes.shrink_to_fit();
        const MetadataView view{bytes};
        for (const std::string_view key : {"whole", "number", "flag", "text", "absent"}) {
            const auto text = view.string(key);
            if (!text || text->empty()) continue;
            const auto* begin = reinterpret_cast<const char*>(bytes.data());
            EXPECT_TRUE(text->data() >= begin && text->data() + text->size() <= begin + bytes.size());
        }
        static_cast<void>(view.well_formed());
    }
}

}  // namespace
}  // namespace penstock
