#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_runtime.hpp"

namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using testing::Each;
using testing::ElementsAre;

using Given = std::map<const char*, std::int64_t>;

std::vector<Payload> batches_of(const Given& given, FakeContext& context, FakeOutput& out) {
    Params params;
    for (const auto& [name, value] : given) params.set(name, ParamValue{value});
    const auto source = make_builtin<Source>("camera", params, context);
    while (source->produce(out)) continue;
    return std::exchange(out.emitted, {});
}

std::vector<std::uint8_t> pixels(const Payload& batch) {
    const auto view = batch.view<std::uint8_t>();
    return {view.begin(), view.end()};
}

TEST(Camera, MakesBatchesOfWhichTheLastMayBeShort) {
    FakeContext context;
    FakeOutput out;

    const auto batches = batches_of({{"height", 5}, {"width", 7}, {"batch", 4}, {"images", 10}}, context, out);

    ASSERT_EQ(batches.size(), 3U);
    EXPECT_EQ(batches[0].shape(), (Shape{4, 5, 7, 3}));
    EXPECT_EQ(batches[2].shape(), (Shape{2, 5, 7, 3}));
    EXPECT_EQ(batches[2].metadata().integer("first"), 8);
    EXPECT_EQ(batches[2].user_id(), 2U);
    EXPECT_EQ(context.counters["images"], 10U);
}

TEST(Camera, MakesTheSameImagesHoweverTheyAreShared) {
    FakeOutput out;
    FakeContext alone;
    const Given one_by_one{{"height", 6}, {"width", 8}, {"batch", 1}, {"images", 11}};
    const auto images = batches_of(one_by_one, alone, out);

    std::size_t seen = 0;
    for (int instance = 0; instance < 3; ++instance) {
        FakeContext context;
        context.instance_number = instance;
        context.instance_count = 3;
        for (const auto& batch :
             batches_of({{"height", 6}, {"width", 8}, {"batch", 2}, {"images", 11}}, context, out)) {
            const auto first = static_cast<std::size_t>(batch.metadata().integer("first").value());
            const auto found = pixels(batch);
            std::vector<std::uint8_t> wanted;
            for (std::size_t i = 0; i < batch.shape()[0]; ++i) {
                const auto image = pixels(images[first + i]);
                wanted.insert(wanted.end(), image.begin(), image.end());
                ++seen;
            }
            EXPECT_EQ(found, wanted) << first;
        }
    }
    EXPECT_EQ(seen, 11U);
}

TEST(Camera, MakesOtherImagesOfAnotherNumberOrSeed) {
    FakeContext context;
    FakeOutput out;

    const auto batches = batches_of({{"batch", 1}, {"images", 2}}, context, out);
    const auto others = batches_of({{"batch", 1}, {"images", 1}, {"seed", 2}}, context, out);

    EXPECT_NE(pixels(batches[0]), pixels(batches[1]));
    EXPECT_NE(pixels(batches[0]), pixels(others[0]));
}

/// What the values have that no disc hides: without noise a column of the backdrop has one value.
TEST(Camera, ShowsADiscBeforeABackdrop) {
    FakeContext context;
    FakeOutput out;
    const auto batch =
        batches_of({{"height", 40}, {"width", 50}, {"channels", 1}, {"images", 20}, {"noise", 0}}, context, out);

    for (const auto& payload : batch) {
        const auto values = payload.view<std::uint8_t>();
        for (std::size_t image = 0; image < payload.shape()[0]; ++image) {
            const auto view = values.subspan(image * 40 * 50, 40 * 50);
            // The disc is no higher than 2/3 of the image, so most of a column is backdrop: its colours go one way.
            std::vector<int> backdrop;
            std::size_t hidden = 0;
            for (std::size_t column = 0; column < 50; ++column) {
                std::map<int, std::size_t> rows;
                for (std::size_t row = 0; row < 40; ++row) ++rows[view[row * 50 + column]];
                EXPECT_LE(rows.size(), 2U);
                if (rows.size() == 2) ++hidden;
                if (rows.size() == 1) backdrop.push_back(rows.begin()->first);
            }
            EXPECT_TRUE(std::ranges::is_sorted(backdrop) || std::ranges::is_sorted(backdrop, std::greater{}));
            EXPECT_LE(hidden, 2 * 40 / 3 + 1U);
        }
    }
}

TEST(Camera, KeepsTheNoiseInItsBounds) {
    FakeContext context;
    FakeOutput out;
    const Given clean{{"height", 30}, {"width", 30}, {"images", 8}, {"noise", 0}};
    Given noisy = clean;
    noisy["noise"] = 5;

    const auto without = pixels(batches_of(clean, context, out).front());
    const auto with = pixels(batches_of(noisy, context, out).front());

    std::map<int, int> differences;
    for (std::size_t i = 0; i < with.size(); ++i) ++differences[with[i] - without[i]];
    EXPECT_EQ(differences.begin()->first, -5);
    EXPECT_EQ(differences.rbegin()->first, 5);
    EXPECT_GT(differences[4], 1000);
}

TEST(Camera, MakesImagesOfOnePixel) {
    FakeContext context;
    FakeOutput out;

    const auto batches =
        batches_of({{"height", 1}, {"width", 1}, {"channels", 4}, {"batch", 2}, {"images", 2}}, context, out);

    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(batches[0].shape(), (Shape{2, 1, 1, 4}));
}

TEST(Camera, GoesOnWithoutEndIfAsked) {
    FakeContext context;
    FakeOutput out;
    const auto source = make_builtin<Source>(
        "camera", test::params({{"images", ParamValue{std::int64_t{0}}}, {"height", ParamValue{std::int64_t{2}}}}),
        context);

    std::vector<std::uint64_t> images;
    for (int i = 0; i < 100; ++i) {
        ASSERT_TRUE(source->produce(out));
        images.push_back(out.emitted.back().shape()[0]);
        out.emitted.clear();
    }

    EXPECT_THAT(images, Each(8U));
}

TEST(Camera, StopsWithTheRun) {
    FakeContext context;
    FakeOutput out;
    context.stopping = true;

    const auto batches = batches_of({{"interval", 10}}, context, out);

    EXPECT_TRUE(batches.empty());
}

}  // namespace
}  // namespace penstock
