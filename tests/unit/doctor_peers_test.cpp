#include <chrono>
#include <future>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/codec.hpp"
#include "doctor/heat_map.hpp"
#include "doctor/peers.hpp"
#include "doctor/pixel_canvas.hpp"
#include "doctor/png.hpp"
#include "doctor/tournament.hpp"
#include "error_of.hpp"
#include "support/in_process_world.hpp"

namespace penstock::doctor {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

TEST(Tournament, EveryPairMeetsOnceAndNobodyTwiceInARound) {
    for (Rank ranks = 0; ranks < 20; ++ranks) {
        std::map<std::pair<Rank, Rank>, int> met;
        const auto rounds = tournament(ranks);
        for (const auto& round : rounds) {
            std::set<Rank> busy;
            for (const auto& pair : round) {
                EXPECT_LT(pair.first, pair.second);
                EXPECT_LT(pair.second, ranks);
                EXPECT_TRUE(busy.insert(pair.first).second);
                EXPECT_TRUE(busy.insert(pair.second).second);
                ++met[pair];
            }
        }
        EXPECT_EQ(met.size(), ranks < 2 ? 0U : std::size_t{ranks} * (ranks - 1) / 2) << ranks;
        for (const auto& [pair, times] : met) EXPECT_EQ(times, 1) << pair.first << ", " << pair.second;
        EXPECT_EQ(rounds.size(), ranks < 2 ? 0U : ranks - 1 + ranks % 2);
    }
}

/// Ranks as threads, over shared memory. @param silent  Takes part in the start and then does nothing.
[[nodiscard]] PeerMatrix measure_in_threads(Rank ranks, PeerOptions options, Rank silent = 0) {
    options.arena_bytes = std::uint64_t{16} << 20U;
    test::Meeting meeting{ranks};
    std::promise<void> over;
    const std::shared_future<void> is_over = over.get_future().share();
    std::vector<std::future<PeerMatrix>> all;
    for (Rank rank = 0; rank < ranks; ++rank) {
        all.push_back(std::async(std::launch::async, [&meeting, &options, is_over, rank, silent] {
            test::MeetingBootstrap bootstrap{meeting, rank};
            PeerProbe probe{bootstrap, options};
            if (silent != 0 && rank == silent) {
                is_over.wait();
                return PeerMatrix{};
            }
            return probe.run();
        }));
    }
    PeerMatrix matrix = all.front().get();
    over.set_value();
    for (Rank rank = 1; rank < ranks; ++rank) all[rank].get();
    return matrix;
}

void expect_all_measured(const PeerMatrix& matrix, Rank ranks) {
    ASSERT_EQ(matrix.ranks(), ranks);
    EXPECT_TRUE(matrix.is_complete());
    for (Rank from = 0; from < ranks; ++from) {
        for (Rank to = 0; to < ranks; ++to) {
            if (from == to) continue;
            EXPECT_EQ(matrix.at(from, to).transport, "shm") << from << " to " << to << matrix.at(from, to).problem;
            EXPECT_GT(matrix.at(from, to).latency_us, 0);
            EXPECT_GT(matrix.at(from, to).bytes_per_s, 0);
        }
    }
}

TEST(Peers, MeasuresEveryPairInBothDirections) {
    expect_all_measured(measure_in_threads(3, {.time = 50ms, .patience = 10s}), 3);
}

TEST(Peers, MeasuresPairsAtTheSameTime) {
    expect_all_measured(measure_in_threads(4, {.time = 50ms, .patience = 10s, .together = true}), 4);
}

TEST(Peers, OneRankHasNoPeers) {
    const PeerMatrix matrix = measure_in_threads(1, {.time = 50ms, .patience = 10s});

    EXPECT_TRUE(matrix.is_complete());
    EXPECT_THAT(heat_map_text(matrix, false), HasSubstr("one rank only"));
}

TEST(Peers, NamesTheRankThatDoesNotAnswerAndMeasuresTheOthers) {
    const PeerMatrix matrix = measure_in_threads(3, {.time = 50ms, .patience = 300ms}, 2);

    EXPECT_FALSE(matrix.is_complete());
    EXPECT_EQ(matrix.at(0, 1).problem, "");
    EXPECT_EQ(matrix.at(1, 0).transport, "shm");
    for (const auto& [from, to] : {std::pair{0U, 2U}, {2U, 0U}, {1U, 2U}, {2U, 1U}}) {
        EXPECT_THAT(matrix.at(from, to).problem, testing::ContainsRegex("rank 2 on .* did not answer within"));
    }
}

// --- drawings ---

[[nodiscard]] PeerMatrix made(Rank ranks) {
    PeerMatrix matrix{.hosts = {}, .pairs = std::vector<PairFigures>(std::size_t{ranks} * ranks)};
    for (Rank rank = 0; rank < ranks; ++rank) matrix.hosts.push_back(rank < ranks / 2 ? "h1" : "h<2>&");
    for (Rank from = 0; from < ranks; ++from) {
        for (Rank to = 0; to < ranks; ++to) {
            const bool near = matrix.hosts[from] == matrix.hosts[to];
            if (from != to) {
                matrix.at(from, to) = {.latency_us = near ? 0.25 : 150.0,
                                       .bytes_per_s = near ? 12e9 : 1.25e9,
                                       .transport = near ? "shm" : "ucx"};
            }
        }
    }
    return matrix;
}

TEST(HeatMap, HasNumbersOfFewRanksAndDarkensTheSlowOnes) {
    const std::string text = heat_map_text(made(4), false);

    EXPECT_THAT(text, HasSubstr("     0       -    0.25.    150@    150@  h1\n"));
    EXPECT_THAT(text, HasSubstr("     3    1.25@   1.25@     12.      -   h<2>&\n"));
    EXPECT_THAT(text, HasSubstr("measured: 4 over shm, 8 over ucx\n"));
}

TEST(HeatMap, HasShadesOfManyRanks) {
    const std::string text = heat_map_text(made(40), false);

    EXPECT_THAT(text, HasSubstr("     1 .-" + std::string(18, '.') + std::string(20, '@') + "  h1\n"));
}

TEST(HeatMap, UsesBlocksWhereTheyCanBeShown) {
    EXPECT_THAT(heat_map_text(made(4), true), HasSubstr("150\u2588"));
    EXPECT_THAT(heat_map_text(made(4), false), Not(HasSubstr("\u2588")));
}

TEST(HeatMap, MarksWhatWasNotMeasuredAndSaysWhy) {
    PeerMatrix matrix = made(2);
    matrix.at(0, 1) = {.problem = "rank 1 on h2 did not answer"};
    const std::string text = heat_map_text(matrix, false);

    EXPECT_THAT(text, HasSubstr("     0       -       X   h1\n"));
    EXPECT_THAT(text, HasSubstr("X 1 of the pairs: rank 1 on h2 did not answer\n"));
}

TEST(HeatMap, PairsThatAreAlikeHaveOneShade) {
    PeerMatrix matrix = made(2);
    matrix.at(0, 1).latency_us = 1.0;
    matrix.at(1, 0).latency_us = 1.1;
    const Scale scale{matrix, Scale::Of::latency};

    EXPECT_EQ(scale.slowness(matrix.at(0, 1)), 0);
    EXPECT_EQ(scale.slowness(matrix.at(1, 0)), 0);
}

TEST(HeatMap, IsAPictureWhoseTextIsNoMarkup) {
    PeerMatrix matrix = made(4);
    matrix.at(0, 1) = {.problem = "<script>"};
    const std::string svg = heat_map_svg(matrix);

    EXPECT_THAT(svg, testing::StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
    EXPECT_THAT(svg, HasSubstr("h&lt;2&gt;&amp; 3</text>"));
    EXPECT_THAT(svg, HasSubstr("fill=\"#000000\"><title>0 to 1: &lt;script&gt;</title>"));
    EXPECT_THAT(svg, HasSubstr("fill=\"#cc3333\"><title>0 to 3: 150 us, 1.25 GB/s, ucx</title>"));
}

TEST(HeatMap, APictureOfManyRanksStaysSmall) {
    EXPECT_LT(heat_map_svg(made(128)).size(), std::size_t{8} << 20U);
}

TEST(HeatMap, APictureKeepsTheEndOfALongName) {
    PeerMatrix matrix = made(2);
    matrix.hosts[0] = std::string(50, 'a') + "-17";
    const std::string svg = heat_map_svg(matrix);

    EXPECT_THAT(svg, HasSubstr(">.." + std::string(33, 'a') + "-17 0</text>"));
}

TEST(HeatMap, APictureHasTheDigitsThatFit) {
    PeerMatrix matrix = made(16);
    matrix.at(0, 1).bytes_per_s = 1.234e6;
    const std::string svg = heat_map_svg(matrix);

    EXPECT_THAT(svg, HasSubstr(">0.0012</text>"));
    EXPECT_THAT(svg, HasSubstr("fastest 0.25, slowest 150</text>"));
}

TEST(HeatMap, APictureOfNothingMeasuredSaysSo) {
    PeerMatrix matrix{.hosts = {"h1", "h2"}, .pairs = std::vector<PairFigures>(4)};

    EXPECT_THAT(heat_map_svg(matrix), HasSubstr(">no pair was measured</text>"));
}

// --- PNG ---

/// As the standard has it, bit by bit.
[[nodiscard]] std::uint32_t plain_crc(std::string_view bytes) {
    std::uint32_t crc = 0xffffffff;
    for (const char c : bytes) {
        crc ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) * 0xedb88320U);
    }
    return ~crc;
}

[[nodiscard]] std::uint32_t number_at(std::string_view bytes, std::size_t at) {
    std::uint32_t number = 0;
    for (const char c : bytes.substr(at, 4)) number = number << 8U | static_cast<unsigned char>(c);
    return number;
}

struct DecodedPng {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::vector<std::string> types = {};
    std::string form = {};
    std::string palette = {};
    std::string rows = {};

    [[nodiscard]] std::string colour(std::uint32_t x, std::uint32_t y) const {
        const auto index = static_cast<unsigned char>(rows.at(y * (std::size_t{width} + 1) + 1 + x));
        return palette.substr(index * std::size_t{3}, 3);
    }
};

void decode(const std::string& png, DecodedPng& decoded) {
    ASSERT_THAT(png, testing::StartsWith("\x89PNG\r\n\x1a\n"));
    std::string packed;
    for (std::size_t at = 8; at < png.size();) {
        const std::size_t size = number_at(png, at);
        ASSERT_LE(at + size + 12, png.size());
        const std::string type = png.substr(at + 4, 4);
        const std::string content = png.substr(at + 8, size);
        EXPECT_EQ(number_at(png, at + 8 + size), plain_crc(type + content)) << type;
        decoded.types.push_back(type);
        if (type == "IHDR") {
            decoded.width = number_at(content, 0);
            decoded.height = number_at(content, 4);
            decoded.form = content.substr(8);
        }
        if (type == "PLTE") decoded.palette = content;
        if (type == "IDAT") packed += content;
        at += size + 12;
    }
    decoded.rows.resize((std::size_t{decoded.width} + 1) * decoded.height);
    EXPECT_TRUE(make_decompressor(Codec::zlib)
                    ->decompress(std::as_bytes(std::span{packed}), std::as_writable_bytes(std::span{decoded.rows})));
}

class Png : public testing::Test {
protected:
    void SetUp() override {
        if (!remedy_for(Codec::zlib).empty()) GTEST_SKIP() << "no zlib in this build";
    }
};

TEST_F(Png, HoldsThePixelsOfTheImage) {
    const Image image{
        .width = 3, .height = 2, .palette = {{255, 0, 0}, {0, 255, 0}, {1, 2, 3}}, .pixels = {0, 1, 2, 2, 1, 0}};
    DecodedPng decoded;
    decode(png_of(image), decoded);

    EXPECT_THAT(decoded.types, testing::ElementsAre("IHDR", "PLTE", "IDAT", "IEND"));
    EXPECT_EQ(std::tie(decoded.width, decoded.height), std::tuple(3U, 2U));
    EXPECT_EQ(decoded.form, std::string("\x08\x03\x00\x00\x00", 5));
    EXPECT_EQ(decoded.colour(0, 0), std::string("\xff\x00\x00", 3));
    EXPECT_EQ(decoded.colour(1, 1), std::string("\x00\xff\x00", 3));
    EXPECT_EQ(decoded.colour(2, 0), "\x01\x02\x03");
    EXPECT_EQ(plain_crc("IEND"), 0xae426082U);  // as in every PNG file
}

TEST_F(Png, HoldsPixelsThatDoNotShrink) {
    Image image{.width = 251, .height = 97, .palette = std::vector<Rgb>(256), .pixels = {}};
    std::minstd_rand random{1};
    for (std::size_t i = 0; i < std::size_t{251} * 97; ++i) {
        image.pixels.push_back(static_cast<std::uint8_t>(random() >> 8U));
    }
    DecodedPng decoded;
    decode(png_of(image), decoded);

    for (std::size_t row = 0; row < image.height; ++row) {
        const auto* pixels = reinterpret_cast<const char*>(&image.pixels[row * image.width]);
        EXPECT_EQ(decoded.rows.substr(row * 252, 252), '\0' + std::string(pixels, image.width));
    }
}

/// Where the corner of a cell of the first map is in the pixels, by the SVG of the same matrix.
[[nodiscard]] std::pair<std::uint32_t, std::uint32_t> place_of(const PeerMatrix& matrix, std::string_view title) {
    const std::string svg = heat_map_svg(matrix);
    const std::size_t rect = svg.rfind("<rect x=\"", svg.find("<title>" + std::string{title}));
    const std::size_t y = svg.find("y=\"", rect);
    return {static_cast<std::uint32_t>(std::stoul(svg.substr(rect + 9))),
            static_cast<std::uint32_t>(std::stoul(svg.substr(y + 3)))};
}

TEST_F(Png, HasTheCellsOfTheSvgInTheirColours) {
    PeerMatrix matrix = made(4);
    matrix.at(0, 1) = {.problem = "rank 1 is gone"};
    DecodedPng png;
    decode(heat_map_png(matrix), png);

    const auto colour_of = [&](std::string_view cell) {
        const auto [x, y] = place_of(matrix, cell);
        return png.colour(2 * x + 2, 2 * y + 2);
    };
    EXPECT_THAT(heat_map_svg(matrix), HasSubstr("width=\"" + std::to_string(png.width / 2) + "\" height=\"" +
                                                std::to_string(png.height / 2) + "\""));
    EXPECT_EQ(colour_of("0 to 1"), std::string(3, '\0'));
    EXPECT_EQ(colour_of("0 to 3"), "\xcc\x33\x33");
    EXPECT_EQ(colour_of("2 to 3"), "\xd6\xe8\xf5");
    EXPECT_EQ(png.colour(0, 0), "\xff\xff\xff");
}

TEST_F(Png, NamesOfAnyKindStayInsideThePicture) {
    for (const std::string& host : {std::string(500, 'x'), std::string{"\xff\xfe\x00\n\t", 5}, std::string{},
                                    std::string{"k\xc3\xb6ln"}, std::string(300, '\x80')}) {
        PeerMatrix matrix = made(3);
        matrix.hosts.assign(3, host);
        DecodedPng png;
        decode(heat_map_png(matrix), png);

        EXPECT_LT(png.width, 2400U);
    }
}

TEST_F(Png, WritesCharactersOfItsFont) {
    PixelCanvas canvas{20, 10, 1};
    canvas.text(0, 8, Align::left, "1l\xc3\xb6");

    std::string drawn;
    const Image& image = canvas.image();
    for (std::size_t y = 1; y < 8; ++y) {
        for (std::size_t x = 0; x < 18; ++x) drawn += image.pixels[y * image.width + x] == 1 ? '#' : '.';
        drawn += '\n';
    }
    EXPECT_EQ(drawn,
              "..#....##...#####.\n"
              ".##.....#...#...#.\n"
              "..#.....#...#...#.\n"
              "..#.....#...#...#.\n"
              "..#.....#...#...#.\n"
              "..#.....#...#...#.\n"
              ".###...###..#####.\n");
}

TEST_F(Png, CutsOffWhatDoesNotFit) {
    PixelCanvas canvas{4, 4, 3};
    canvas.box({.x = -5, .y = -5, .width = 7, .height = 7}, {1, 2, 3}, "");
    canvas.text(-3, 100, Align::left, "far");
    canvas.text(2, 3, Align::right, "wide");

    EXPECT_EQ(canvas.image().pixels.size(), 144U);
    EXPECT_EQ(canvas.image().palette.size(), 3U);
    EXPECT_EQ(canvas.image().pixels[143], 0);
}

TEST_F(Png, OfManyRanksStaysSmall) {
    const std::string png = heat_map_png(made(128));

    EXPECT_LT(png.size(), std::size_t{1} << 20U);
}

TEST(PngMissing, NamesTheRemedy) {
    if (remedy_for(Codec::zlib).empty()) GTEST_SKIP() << "this build has zlib";
    const Error error = error_of([] { (void)heat_map_png(made(2)); });

    EXPECT_EQ(error.code(), Errc::unsupported);
    EXPECT_THAT(error.what(), HasSubstr("-DPENSTOCK_ZLIB=ON"));
}

}  // namespace
}  // namespace penstock::doctor
