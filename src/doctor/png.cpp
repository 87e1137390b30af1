#include "doctor/png.hpp"

#include <array>
#include <span>
#include <string_view>

#include <penstock/error.hpp>

#include "codec/codec.hpp"

namespace penstock::doctor {
namespace {

/// The polynomial of PNG and zlib, for a byte at a time.
constexpr std::array<std::uint32_t, 256> crc_table = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t rest = byte;
        for (int bit = 0; bit < 8; ++bit) rest = (rest & 1U) != 0 ? 0xedb88320U ^ (rest >> 1U) : rest >> 1U;
        table[byte] = rest;
    }
    return table;
}();

[[nodiscard]] std::uint32_t crc_of(std::string_view bytes) noexcept {
    std::uint32_t crc = ~0U;
    for (const char c : bytes) crc = crc_table[(crc ^ static_cast<unsigned char>(c)) & 0xffU] ^ (crc >> 8U);
    return ~crc;
}

/// Most significant byte first, as all numbers of a PNG.
[[nodiscard]] std::string number(std::size_t value) {
    std::string bytes;
    for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(value >> shift & 0xffU);
    return bytes;
}

[[nodiscard]] std::string chunk(std::string_view type, std::string_view content) {
    std::string covered{type};
    covered += content;
    return number(content.size()) + covered + number(crc_of(covered));
}

[[nodiscard]] std::string header_of(const Image& image) {
    constexpr std::string_view form{"\x08\x03\x00\x00\x00", 5};  // 8 bits, a palette, the usual rest
    return number(image.width) + number(image.height) + std::string{form};
}

[[nodiscard]] std::string palette_of(const Image& image) {
    std::string bytes;
    for (const Rgb& colour : image.palette) {
        for (const std::uint8_t part : colour) bytes += static_cast<char>(part);
    }
    return bytes;
}

/// Each row begins with its filter: none, which is the best one for a palette.
[[nodiscard]] std::string rows_of(const Image& image) {
    std::string rows;
    rows.reserve((std::size_t{image.width} + 1) * image.height);
    for (std::size_t row = 0; row < image.height; ++row) {
        rows += '\0';
        rows.append(reinterpret_cast<const char*>(image.pixels.data()) + row * image.width, image.width);
    }
    return rows;
}

/// One zlib stream, which is what a PNG holds.
[[nodiscard]] std::string packed(const std::string& rows) {
    // Pictures of boxes shrink; zlib itself adds no more than that to what does not.
    std::string stream(rows.size() + rows.size() / 1000 + 64, '\0');
    const auto size = make_compressor({.codec = Codec::zlib, .level = 0})
                          ->compress(std::as_bytes(std::span{rows}), std::as_writable_bytes(std::span{stream}));
    if (size == 0) throw Error{Errc::internal, "a picture that does not fit into what zlib says is enough"};
    stream.resize(size);
    return stream;
}

}  // namespace

void require_png() {
    const std::string_view remedy = remedy_for(Codec::zlib);
    if (remedy.empty()) return;
    throw Error{Errc::unsupported,
                "this build draws no PNG, as it has no zlib; draw an SVG with --svg, or " + std::string{remedy}};
}

std::string png_of(const Image& image) {
    require_png();
    constexpr std::string_view signature{"\x89PNG\r\n\x1a\n"};
    return std::string{signature} + chunk("IHDR", header_of(image)) + chunk("PLTE", palette_of(image)) +
           chunk("IDAT", packed(rows_of(image))) + chunk("IEND", "");
}

}  // namespace penstock::doctor
