#include "transports/shm/ring.hpp"

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace penstock::shm {
namespace {

constexpr std::size_t capacity = 1024;

class RingTest : public ::testing::Test {
protected:
    [[nodiscard]] bool put(std::string_view text) {
        const auto room = writer_.reserve(text.size());
        if (room.empty()) return false;
        std::memcpy(room.data(), text.data(), text.size());
        writer_.commit();
        return true;
    }
    /// Up to that many frames.
    std::vector<std::string> take(std::size_t most = 1'000'000) {
        std::vector<std::string> frames;
        std::size_t count = 0;
        result_ = reader_.read(most, count, [&](std::span<const std::byte> frame) {
            frames.emplace_back(reinterpret_cast<const char*>(frame.data()), frame.size());
        });
        EXPECT_EQ(count, frames.size());
        return frames;
    }
    void write_word(std::size_t at, std::uint64_t word) { std::memcpy(head_->data + at, &word, sizeof word); }

    // Full of old bytes, as the memory of an arena is.
    std::vector<std::uint64_t> memory_ = std::vector<std::uint64_t>(RingHead::bytes(capacity) / 8 + 8, ~0ULL);
    RingHead* head_ = [this] {
        const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
        return new (memory_.data() + (64 - address % 64) % 64 / 8) RingHead;
    }();
    std::atomic<std::uint64_t> consumed_{0};
    RingWriter writer_{head_, capacity, &consumed_};
    RingReader reader_{head_, capacity, &consumed_};
    RingReader::Result result_ = RingReader::Result::ok;
};

TEST_F(RingTest, IsEmptyAtFirst) {
    EXPECT_TRUE(reader_.empty());
    EXPECT_TRUE(writer_.drained());
    EXPECT_TRUE(take().empty());
}

TEST_F(RingTest, ShowsAFrameWithItsCommitAndNotBefore) {
    ASSERT_FALSE(writer_.reserve(5).empty());
    EXPECT_TRUE(reader_.empty());
    ASSERT_TRUE(put("frame"));
    EXPECT_FALSE(reader_.empty());
    EXPECT_FALSE(writer_.drained());
    EXPECT_EQ(take(), std::vector<std::string>{"frame"});
    EXPECT_TRUE(writer_.drained());
}

TEST_F(RingTest, ReadsNoMoreThanAsked) {
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(put(std::to_string(i)));
    EXPECT_EQ(take(2), (std::vector<std::string>{"0", "1"}));
    EXPECT_EQ(take(), (std::vector<std::string>{"2", "3", "4"}));
}

TEST_F(RingTest, HoldsTheLargestFrameWhereverItStands) {
    const std::string largest(capacity / 2 - word_bytes, 'x');
    for (std::size_t step = 1; step < 200; ++step) {
        ASSERT_TRUE(put(std::string(step, 'y')));
        EXPECT_EQ(take().size(), 1U);
        ASSERT_TRUE(put(largest)) << "after a step of " << step;
        EXPECT_EQ(take(), std::vector<std::string>{largest});
    }
}

TEST_F(RingTest, KeepsEveryFrameOfAnySizeInOrder) {
    std::mt19937 random{1};
    std::deque<std::string> under_way;
    for (int i = 0; i < 20'000; ++i) {
        if (random() % 2 == 0) {
            // Bytes that look like words of the ring.
            std::string text(random() % 400, random() % 2 == 0 ? '\xFF' : '\x01');
            if (put(text)) under_way.push_back(std::move(text));
        } else {
            for (const std::string& frame : take(1 + random() % 3)) {
                ASSERT_EQ(frame, under_way.front());
                under_way.pop_front();
            }
            ASSERT_EQ(result_, RingReader::Result::ok);
        }
    }
}

TEST_F(RingTest, RefusesWhatDoesNotFitAndSaysWhenItDoes) {
    const std::string text(56, 'x');
    int count = 0;
    while (put(text)) ++count;
    EXPECT_EQ(count, 15);  // 16 would leave no room for the word after them
    EXPECT_FALSE(writer_.has_new_room());
    EXPECT_FALSE(reader_.has_room_wanted());
    take(3);
    EXPECT_TRUE(writer_.has_new_room());
    EXPECT_FALSE(reader_.has_room_wanted()) << "before half the ring is free it is not worth waking anybody";
    take(5);
    EXPECT_TRUE(reader_.has_room_wanted());
    ASSERT_TRUE(put(text));
    writer_.want_nothing();
    EXPECT_FALSE(reader_.has_room_wanted());
}

TEST_F(RingTest, WakesAWriterOfALargeFrameOnlyWhenItFits) {
    const std::string text(56, 'x');
    while (put(text)) {
    }
    EXPECT_TRUE(writer_.reserve(capacity / 2 - word_bytes).empty());
    for (int i = 0; i < 15; ++i) {
        take(1);
        if (!reader_.has_room_wanted()) continue;
        EXPECT_FALSE(writer_.reserve(capacity / 2 - word_bytes).empty());
        return;
    }
    FAIL() << "the writer would sleep on";
}

TEST_F(RingTest, ReportsALengthBeyondTheEnd) {
    write_word(0, frame_mark | (capacity - word_bytes + 1));
    EXPECT_TRUE(take().empty());
    EXPECT_EQ(result_, RingReader::Result::broken);
}

TEST_F(RingTest, ReportsAWordThatIsNone) {
    for (const std::uint64_t word : {std::uint64_t{1}, 2 * frame_mark, ~std::uint64_t{1}}) {
        write_word(0, word);
        EXPECT_TRUE(take().empty());
        EXPECT_EQ(result_, RingReader::Result::broken) << word;
    }
}

TEST_F(RingTest, ReportsAWriterThatSendsItRoundForEver) {
    write_word(0, to_the_start);
    EXPECT_TRUE(take().empty());
    EXPECT_EQ(result_, RingReader::Result::broken);
}

TEST_F(RingTest, GivesNothingToAReaderFromTheFuture) {
    consumed_ = 1U << 20U;
    for (int i = 0; i < 100; ++i) static_cast<void>(put(std::string(56, 'x')));
    EXPECT_FALSE(put("more"));
}

TEST_F(RingTest, GivesTheRoomOfAFrameThatThrewBack) {
    ASSERT_TRUE(put("frame"));
    std::size_t count = 0;
    EXPECT_THROW(static_cast<void>(reader_.read(1, count, [](std::span<const std::byte>) { throw 1; })), int);
    EXPECT_TRUE(take().empty());
    EXPECT_TRUE(writer_.drained());
}

TEST_F(RingTest, CarriesFramesBetweenThreads) {
    constexpr std::uint64_t frames = 100'000;
    std::thread sender{[this] {
        for (std::uint64_t i = 0; i < frames; ++i) {
            const std::size_t bytes = 8 + i % 120;
            auto room = writer_.reserve(bytes);
            while (room.empty()) {
                std::this_thread::yield();
                room = writer_.reserve(bytes);
            }
            std::memcpy(room.data(), &i, sizeof i);
            std::memset(room.data() + 8, static_cast<int>(i % 251), bytes - 8);
            writer_.commit();
        }
    }};
    std::uint64_t next = 0;
    bool in_order = true;
    while (next < frames) {
        std::size_t count = 0;
        const auto result = reader_.read(64, count, [&](std::span<const std::byte> frame) {
            std::uint64_t number = 0;
            std::memcpy(&number, frame.data(), sizeof number);
            in_order = in_order && number == next && frame.size() == 8 + number % 120 &&
                       (frame.size() == 8 || frame.back() == static_cast<std::byte>(number % 251));
            ++next;
        });
        ASSERT_EQ(result, RingReader::Result::ok);
        if (count == 0) std::this_thread::yield();
    }
    sender.join();
    EXPECT_TRUE(in_order);
}

}  // namespace
}  // namespace penstock::shm
