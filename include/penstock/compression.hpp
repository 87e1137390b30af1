#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace penstock {

/// What makes blobs smaller on their way. The numbers are part of the wire format.
enum class Codec : std::uint8_t { none = 0, lz4 = 1, zstd = 2, zlib = 3 };

inline constexpr std::size_t codec_count = 4;

/// By what a receiver sees that a blob is not what was sent.
enum class Checksum : std::uint8_t { none, crc32c };

[[nodiscard]] constexpr std::string_view name_of(Codec codec) noexcept {
    switch (codec) {
        case Codec::none: return "none";
        case Codec::lz4: return "lz4";
        case Codec::zstd: return "zstd";
        case Codec::zlib: return "zlib";
    }
    return "?";
}

[[nodiscard]] constexpr std::string_view name_of(Checksum checksum) noexcept {
    return checksum == Checksum::crc32c ? "crc32c" : "none";
}

/// The levels of a codec: low is fast, high is small.
struct CodecLevels {
    int lowest = 0;
    int highest = 0;
    int usual = 0;
};

/// Of lz4, levels from 3 on are those of LZ4 HC.
[[nodiscard]] constexpr CodecLevels levels_of(Codec codec) noexcept {
    switch (codec) {
        case Codec::none: break;
        case Codec::lz4: return {.lowest = 1, .highest = 12, .usual = 1};
        case Codec::zstd: return {.lowest = 1, .highest = 19, .usual = 3};
        case Codec::zlib: return {.lowest = 1, .highest = 9, .usual = 6};
    }
    return {};
}

/// How the blobs of a channel are compressed where they are copied from one process to another.
struct Compression {
    Codec codec = Codec::none;
    int level = 0;  ///< 0: the usual one.

    friend bool operator==(const Compression&, const Compression&) = default;
};

}  // namespace penstock
