#include <limits>
#include <map>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/block_pool.hpp"

namespace penstock {
namespace {

using ::testing::Optional;

constexpr std::size_t granule = BlockPool::granule;

[[nodiscard]] std::size_t rounded(std::size_t bytes) {
    return std::max<std::size_t>((bytes + granule - 1) / granule, 1) * granule;
}

/// A pool next to a plain list of what it has handed out.
class Model {
public:
    explicit Model(std::size_t size_bytes) : pool_{size_bytes}, size_bytes_{size_bytes} {}

    /// @return whether there was room.
    bool allocate(std::size_t bytes) {
        const auto block = pool_.allocate(bytes);
        if (!block) {
            EXPECT_LT(largest_gap(), rounded(bytes)) << "a gap large enough was not found";
            return false;
        }
        EXPECT_EQ(block->offset % granule, 0U);
        EXPECT_EQ(pool_.size_bytes(*block), rounded(bytes));
        EXPECT_LE(block->offset + rounded(bytes), size_bytes_);
        const auto next = held_.lower_bound(block->offset);
        if (next != held_.end()) {
            EXPECT_LE(block->offset + rounded(bytes), next->first) << "overlaps the block behind it";
        }
        if (next != held_.begin()) {
            const auto previous = std::prev(next);
            EXPECT_LE(previous->first + previous->second.bytes, block->offset) << "overlaps the block before it";
        }
        held_.emplace(block->offset, Held{*block, rounded(bytes)});
        used_ += rounded(bytes);
        EXPECT_EQ(pool_.used_bytes(), used_);
        return true;
    }

    void release(std::size_t index) {
        const auto at = std::next(held_.begin(), static_cast<std::ptrdiff_t>(index));
        used_ -= at->second.bytes;
        pool_.release(at->second.block);
        held_.erase(at);
        EXPECT_EQ(pool_.used_bytes(), used_);
    }

    [[nodiscard]] std::size_t blocks() const noexcept { return held_.size(); }

private:
    struct Held {
        Block block;
        std::size_t bytes;
    };

    [[nodiscard]] std::size_t largest_gap() const {
        std::size_t largest = 0;
        std::size_t end = 0;
        for (const auto& [offset, held] : held_) {
            largest = std::max(largest, offset - end);
            end = offset + held.bytes;
        }
        return std::max(largest, size_bytes_ - end);
    }

    BlockPool pool_;
    std::size_t size_bytes_;
    std::size_t used_ = 0;
    std::map<std::uint64_t, Held> held_;
};

class RandomPoolUse : public ::testing::TestWithParam<unsigned> {};

TEST_P(RandomPoolUse, NeverOverlapsFindsEveryGapAndMergesBackToOneBlock) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()));
    constexpr std::size_t size = 1U << 20U;
    std::mt19937 random{GetParam()};
    Model model{size};

    for (int step = 0; step < 4000; ++step) {
        const bool allocate = model.blocks() == 0 || random() % 100 < 55;
        if (allocate) {
            // Sizes of all magnitudes, from nothing to a quarter of the pool.
            const std::size_t limit = std::size_t{1} << (random() % 19);
            model.allocate(random() % limit);
        } else {
            model.release(random() % model.blocks());
        }
        if (HasFailure()) return;
    }
    while (model.blocks() != 0) model.release(random() % model.blocks());

    EXPECT_TRUE(model.allocate(size)) << "the free blocks did not merge";
    EXPECT_FALSE(model.allocate(1));
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomPoolUse, ::testing::Range(1U, 9U));

TEST(BlockPool, GivesTheBlockJustReleasedToTheNextOfThatSize) {
    BlockPool pool{1U << 20U};
    const auto first = pool.allocate(5000).value();
    const auto second = pool.allocate(5000).value();
    const auto fence = pool.allocate(64).value();

    pool.release(second);
    const auto again = pool.allocate(5000).value();

    EXPECT_EQ(again.offset, second.offset);
    EXPECT_NE(again.offset, first.offset);
    EXPECT_NE(again.offset, fence.offset);
}

TEST(BlockPool, IsExhaustedUntilSomethingIsReleased) {
    BlockPool pool{4096};
    std::vector<Block> blocks;
    for (int i = 0; i < 64; ++i) blocks.push_back(pool.allocate(64).value());

    EXPECT_FALSE(pool.allocate(1));
    pool.release(blocks[17]);
    EXPECT_THAT(pool.allocate(64), Optional(::testing::Field(&Block::offset, blocks[17].offset)));
    EXPECT_FALSE(pool.allocate(1));
}

TEST(BlockPool, RefusesSizesBeyondItsOwnWithoutOverflowing) {
    BlockPool pool{1U << 20U};

    for (unsigned bits = 21; bits < 64; ++bits) EXPECT_FALSE(pool.allocate(std::size_t{1} << bits)) << bits;
    EXPECT_FALSE(pool.allocate((1U << 20U) + 1));
    EXPECT_FALSE(pool.allocate(std::numeric_limits<std::size_t>::max()));
    EXPECT_FALSE(pool.allocate(std::numeric_limits<std::size_t>::max() - granule + 1));
    EXPECT_EQ(pool.used_bytes(), 0U);
}

TEST(BlockPool, FindsAFreeBlockThatIsNotTheFirstOfItsSizeClass) {
    // A class at that size is 1 KiB wide.
    constexpr std::size_t least = 16 * 1024;
    BlockPool pool{least + 960 + 64 + least + 64};
    const auto larger = pool.allocate(least + 960).value();
    const auto fence = pool.allocate(64).value();
    const auto smaller = pool.allocate(least).value();
    const auto end = pool.allocate(64).value();
    pool.release(larger);
    pool.release(smaller);  // the two are of one class, and this one comes first

    EXPECT_THAT(pool.allocate(least + 512), Optional(::testing::Field(&Block::offset, larger.offset)));
    EXPECT_GT(end.offset, fence.offset);
}

TEST(BlockPool, HasNothingToGiveWhenItIsSmallerThanABlock) {
    EXPECT_FALSE(BlockPool{0}.allocate(1));
    EXPECT_FALSE(BlockPool{63}.allocate(1));
    EXPECT_TRUE(BlockPool{64}.allocate(1));
}

}  // namespace
}  // namespace penstock
