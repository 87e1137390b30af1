#include "codec/codec.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/error_of.hpp"

namespace penstock {
namespace {

using Bytes = std::vector<std::byte>;

[[nodiscard]] Bytes records(std::size_t bytes) {
    std::string text;
    for (std::size_t i = 0; text.size() < bytes; ++i)
        text += std::to_string(i) + ",sensor," + std::to_string(i % 7) + "\n";
    text.resize(bytes);
    const auto view = std::as_bytes(std::span{text});
    return {view.begin(), view.end()};
}

[[nodiscard]] Bytes noise(std::size_t bytes) {
    std::mt19937_64 random{7};
    Bytes all(bytes);
    std::generate(all.begin(), all.end(), [&] { return static_cast<std::byte>(random()); });
    return all;
}

class CodecTest : public ::testing::TestWithParam<Codec> {
protected:
    CodecTest() {
        if (!remedy_for(GetParam()).empty()) return;
        compressor = make_compressor({GetParam()});
        decompressor = make_decompressor(GetParam());
    }
    void SetUp() override {
        if (!compressor) GTEST_SKIP() << remedy_for(GetParam());
    }

    [[nodiscard]] Bytes packed(std::span<const std::byte> blob) {
        Bytes into(blob.size() + blob.size() / 8 + 128);
        into.resize(compressor->compress(blob, into));
        EXPECT_FALSE(into.empty());
        return into;
    }
    /// In memory of exactly that size.
    [[nodiscard]] bool unpacks_to(const Bytes& stream, std::span<const std::byte> blob) {
        Bytes into(blob.size(), std::byte{0x55});
        return decompressor->decompress(stream, into) && std::ranges::equal(into, blob);
    }

    std::unique_ptr<Compressor> compressor;
    std::unique_ptr<Decompressor> decompressor;
};

TEST_P(CodecTest, GivesBackWhatItWasGiven) {
    for (const std::size_t bytes : {1U, 64U, 4096U, 100'000U, 3'000'000U}) {
        for (const Bytes& blob : {records(bytes), noise(bytes), Bytes(bytes)}) {
            EXPECT_TRUE(unpacks_to(packed(blob), blob)) << bytes;
        }
    }
}

TEST_P(CodecTest, GivesBackWhatItWasGivenAtEveryLevel) {
    const Bytes blob = records(50'000);
    const CodecLevels levels = levels_of(GetParam());
    for (int level = levels.lowest; level <= levels.highest; ++level) {
        Bytes into(blob.size());
        into.resize(make_compressor({GetParam(), level})->compress(blob, into));
        EXPECT_LT(into.size(), blob.size() / 2) << level;
        EXPECT_TRUE(unpacks_to(into, blob)) << level;
    }
}

TEST_P(CodecTest, IsSmallerAtItsHighestLevel) {
    const Bytes blob = records(200'000);
    const auto size_at = [&](int level) {
        Bytes into(blob.size());
        return make_compressor({GetParam(), level})->compress(blob, into);
    };
    const CodecLevels levels = levels_of(GetParam());

    EXPECT_LT(size_at(levels.highest), size_at(levels.lowest));
    EXPECT_EQ(size_at(0), size_at(levels.usual));
}

TEST_P(CodecTest, SaysThatItDoesNotFit) {
    const Bytes blob = noise(10'000);
    Bytes into(blob.size() - 1, std::byte{0xAA});

    EXPECT_EQ(compressor->compress(blob, into), 0U);
    EXPECT_EQ(compressor->compress(blob, std::span{into}.first(1)), 0U);
    EXPECT_EQ(compressor->compress(blob, {}), 0U);
    EXPECT_TRUE(unpacks_to(packed(blob), blob)) << "and goes on";
}

TEST_P(CodecTest, RefusesAStreamThatIsCut) {
    const Bytes blob = records(5'000);
    const Bytes stream = packed(blob);
    for (std::size_t bytes = 0; bytes < stream.size(); bytes += 1 + bytes / 16) {
        EXPECT_FALSE(unpacks_to({stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(bytes)}, blob)) << bytes;
    }
    EXPECT_TRUE(unpacks_to(stream, blob)) << "and goes on";
}

TEST_P(CodecTest, RefusesBytesBehindTheStream) {
    const Bytes blob = records(5'000);
    Bytes stream = packed(blob);
    stream.push_back(std::byte{0});

    EXPECT_FALSE(unpacks_to(stream, blob));
}

TEST_P(CodecTest, RefusesAnotherSize) {
    const Bytes blob = records(5'000);
    const Bytes stream = packed(blob);

    EXPECT_FALSE(unpacks_to(stream, std::span{blob}.first(4'999)));
    EXPECT_FALSE(unpacks_to(stream, records(5'001)));
    EXPECT_FALSE(unpacks_to(stream, {}));
}

TEST_P(CodecTest, SurvivesAnyBytes) {
    std::mt19937_64 random{11};
    const Bytes blob = records(5'000);
    const Bytes stream = packed(blob);
    Bytes into(blob.size());
    for (int i = 0; i < 2'000; ++i) {
        Bytes changed = stream;
        for (int k = 0; k < 3; ++k) changed[random() % changed.size()] = static_cast<std::byte>(random());
        static_cast<void>(decompressor->decompress(changed, into));
        static_cast<void>(decompressor->decompress(noise(1 + random() % 300), into));
    }
    EXPECT_FALSE(decompressor->decompress({}, into));
    EXPECT_TRUE(unpacks_to(stream, blob));
}

INSTANTIATE_TEST_SUITE_P(Codecs, CodecTest, ::testing::Values(Codec::lz4, Codec::zstd, Codec::zlib),
                         [](const auto& codec) { return std::string{name_of(codec.param)}; });

TEST(Zstd, RefusesAFrameOfALegacyFormat) {
    if (!remedy_for(Codec::zstd).empty()) GTEST_SKIP() << remedy_for(Codec::zstd);
    // The magic numbers of 0.1 to 0.8, and of a frame to be skipped.
    for (const std::uint32_t magic :
         {0xFD2FB51EU, 0xFD2FB522U, 0xFD2FB523U, 0xFD2FB524U, 0xFD2FB525U, 0xFD2FB526U, 0xFD2FB527U, 0x184D2A50U}) {
        Bytes stream(64);
        std::memcpy(stream.data(), &magic, sizeof magic);
        Bytes into(64);
        EXPECT_FALSE(make_decompressor(Codec::zstd)->decompress(stream, into)) << std::hex << magic;
    }
}

TEST(Codecs, SayHowToGetOneThatIsNotBuiltIn) {
    EXPECT_EQ(remedy_for(Codec::none), "");
    for (const Codec codec : {Codec::lz4, Codec::zstd, Codec::zlib}) {
        if (remedy_for(codec).empty()) continue;
        const Error error = error_of([&] { static_cast<void>(make_compressor({codec})); });
        EXPECT_EQ(error.code(), Errc::unsupported);
        EXPECT_THAT(error.what(), ::testing::HasSubstr("install lib"));
    }
}

}  // namespace
}  // namespace penstock
