#include "transports/frame_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Bytes = std::vector<std::byte>;

struct Decoded {
    bool whole;
    std::vector<Bytes> frames;
};

[[nodiscard]] Decoded decode(std::span<const std::byte> message) {
    Decoded decoded{};
    decoded.whole = decode_frames(
        message, [&](std::span<const std::byte> frame) { decoded.frames.emplace_back(frame.begin(), frame.end()); });
    return decoded;
}

void append(FrameBuffer& buffer, const Bytes& frame) {
    const auto room = buffer.reserve(frame.size());
    ASSERT_EQ(room.size(), frame.size());
    std::copy(frame.begin(), frame.end(), room.begin());
    buffer.commit();
}

/// A message whose first frame claims that length, with that many bytes in all.
[[nodiscard]] Bytes message(std::uint64_t length, std::size_t size) {
    Bytes bytes(size);
    std::memcpy(bytes.data(), &length, std::min(sizeof length, size));
    return bytes;
}

TEST(FrameBuffer, FramesOfOddLengthsComeOutAsTheyWentIn) {
    FrameBuffer buffer;
    const Bytes one(1, std::byte{1});
    const Bytes eight(8, std::byte{2});
    const Bytes thirteen(13, std::byte{3});
    append(buffer, one);
    append(buffer, eight);
    append(buffer, thirteen);

    const Decoded decoded = decode(buffer.bytes());

    EXPECT_TRUE(decoded.whole);
    EXPECT_THAT(decoded.frames, ElementsAre(one, eight, thirteen));
}

TEST(FrameBuffer, HoldsTheLargestFrameAndNothingBesideIt) {
    FrameBuffer buffer;
    append(buffer, Bytes(largest_frame, std::byte{4}));

    EXPECT_THAT(buffer.reserve(1), IsEmpty());
    EXPECT_EQ(buffer.bytes().size(), buffer_bytes);
    EXPECT_TRUE(decode(buffer.bytes()).whole);
}

TEST(FrameBuffer, AFrameThatDoesNotFitLeavesTheOthersAsTheyAre) {
    FrameBuffer buffer;
    append(buffer, Bytes(100, std::byte{5}));

    EXPECT_THAT(buffer.reserve(largest_frame), IsEmpty());

    EXPECT_THAT(decode(buffer.bytes()).frames, ElementsAre(Bytes(100, std::byte{5})));
}

TEST(FrameBuffer, PaddingCarriesNoOldMemory) {
    FrameBuffer buffer;
    append(buffer, Bytes(64, std::byte{0xFF}));
    buffer.clear();
    append(buffer, Bytes(1, std::byte{1}));

    EXPECT_THAT(Bytes(buffer.bytes().begin() + 9, buffer.bytes().end()), ::testing::Each(std::byte{0}));
}

TEST(DecodeFrames, AnEmptyMessageHasNoFrames) {
    const Decoded decoded = decode({});

    EXPECT_TRUE(decoded.whole);
    EXPECT_THAT(decoded.frames, IsEmpty());
}

TEST(DecodeFrames, StopsAtALengthThatIsImpossible) {
    for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{9}, std::uint64_t{17}, ~std::uint64_t{0},
                                       ~std::uint64_t{0} - 7, std::uint64_t{1} << 63U}) {
        const Decoded decoded = decode(message(length, 16));

        EXPECT_FALSE(decoded.whole) << length;
        EXPECT_THAT(decoded.frames, IsEmpty()) << length;
    }
}

TEST(DecodeFrames, StopsAtAMessageCutAnywhere) {
    FrameBuffer buffer;
    append(buffer, Bytes(20, std::byte{6}));
    for (std::size_t size = 1; size < buffer.bytes().size(); ++size) {
        EXPECT_FALSE(decode(buffer.bytes().first(size)).whole) << size;
    }
}

TEST(DecodeFrames, DeliversTheFramesBeforeABrokenOne) {
    FrameBuffer buffer;
    append(buffer, Bytes(8, std::byte{7}));
    Bytes bytes(buffer.bytes().begin(), buffer.bytes().end());
    const Bytes broken = message(1000, 16);
    bytes.insert(bytes.end(), broken.begin(), broken.end());

    const Decoded decoded = decode(bytes);

    EXPECT_FALSE(decoded.whole);
    EXPECT_THAT(decoded.frames, ElementsAre(Bytes(8, std::byte{7})));
}

}  // namespace
}  // namespace penstock
