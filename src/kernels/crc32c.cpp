#include "kernels/crc32c.hpp"

#include <array>
#include <cstring>

namespace penstock {
namespace {

constexpr std::uint32_t polynomial = 0x82f63b78U;  // reflected

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

/// Table k says what a byte becomes after k more bytes of zeros.
constexpr Tables make_tables() {
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? polynomial : 0U);
        tables[0][byte] = crc;
    }
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        for (std::size_t k = 1; k < 8; ++k) {
            const std::uint32_t before = tables[k - 1][byte];
            tables[k][byte] = (before >> 8U) ^ tables[0][before & 255U];
        }
    }
    return tables;
}

constexpr Tables tables = make_tables();

std::uint64_t word_at(const std::byte* at) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    return word;
}

#if defined(__x86_64__)

/// Three chains at once hide that the instruction takes three cycles; their results are joined by tables that say what
/// a checksum becomes after `Bytes` bytes of zeros.
template <std::size_t Bytes>
struct Lane {
    using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

    static Shift make() {
        // The effect of zeros is linear: bit by bit is enough.
        std::array<std::uint32_t, 32> of_bit{};
        for (std::uint32_t bit = 0; bit < 32; ++bit) {
            std::uint32_t crc = 1U << bit;
            for (std::size_t i = 0; i < Bytes; ++i) crc = (crc >> 8U) ^ tables[0][crc & 255U];
            of_bit[bit] = crc;
        }
        Shift shift{};
        for (std::uint32_t place = 0; place < 4; ++place) {
            for (std::uint32_t byte = 0; byte < 256; ++byte) {
                for (std::uint32_t bit = 0; bit < 8; ++bit) {
                    if ((byte >> bit & 1U) != 0) shift[place][byte] ^= of_bit[place * 8 + bit];
                }
            }
        }
        return shift;
    }

    static std::uint32_t shifted(std::uint32_t crc) noexcept {
        static const Shift shift = make();
        return shift[0][crc & 255U] ^ shift[1][crc >> 8U & 255U] ^ shift[2][crc >> 16U & 255U] ^ shift[3][crc >> 24U];
    }
};

template <std::size_t Bytes>
[[gnu::target("sse4.2")]] std::uint32_t three_lanes(std::uint32_t crc, const std::byte*& at, std::size_t& left) {
    while (left >= 3 * Bytes) {
        std::uint64_t first = crc;
        std::uint64_t second = 0;
        std::uint64_t third = 0;
        for (std::size_t i = 0; i < Bytes; i += 8) {
            first = __builtin_ia32_crc32di(first, word_at(at + i));
            second = __builtin_ia32_crc32di(second, word_at(at + Bytes + i));
            third = __builtin_ia32_crc32di(third, word_at(at + 2 * Bytes + i));
        }
        crc = Lane<Bytes>::shifted(static_cast<std::uint32_t>(first)) ^ static_cast<std::uint32_t>(second);
        crc = Lane<Bytes>::shifted(crc) ^ static_cast<std::uint32_t>(third);
        at += 3 * Bytes;
        left -= 3 * Bytes;
    }
    return crc;
}

[[gnu::target("sse4.2")]] std::uint32_t by_instruction(std::span<const std::byte> bytes,
                                                       std::uint32_t before) noexcept {
    const std::byte* at = bytes.data();
    std::size_t left = bytes.size();
    std::uint32_t crc = three_lanes<4096>(~before, at, left);
    crc = three_lanes<256>(crc, at, left);
    std::uint64_t wide = crc;
    for (; left >= 8; left -= 8, at += 8) wide = __builtin_ia32_crc32di(wide, word_at(at));
    crc = static_cast<std::uint32_t>(wide);
    for (; left > 0; --left, ++at) crc = __builtin_ia32_crc32qi(crc, static_cast<unsigned char>(*at));
    return ~crc;
}

#elif defined(__ARM_FEATURE_CRC32)

std::uint32_t by_instruction(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
    std::uint32_t crc = ~before;
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) crc = __builtin_aarch64_crc32cx(crc, word_at(&bytes[at]));
    for (; at < bytes.size(); ++at) crc = __builtin_aarch64_crc32cb(crc, static_cast<std::uint8_t>(bytes[at]));
    return ~crc;
}

#endif

}  // namespace

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
    std::uint32_t crc = ~before;
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        const std::uint64_t word = word_at(&bytes[at]) ^ crc;
        crc = 0;
        for (std::size_t k = 0; k < 8; ++k) crc ^= tables[7 - k][word >> (8 * k) & 255U];
    }
    for (; at < bytes.size(); ++at) crc = (crc >> 8U) ^ tables[0][(crc ^ static_cast<std::uint32_t>(bytes[at])) & 255U];
    return ~crc;
}

bool has_crc32c_instruction() noexcept {
#if defined(__x86_64__)
    return __builtin_cpu_supports("sse4.2") != 0;
#elif defined(__ARM_FEATURE_CRC32)
    return true;
#else
    return false;
#endif
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
#if defined(__x86_64__) || defined(__ARM_FEATURE_CRC32)
    if (has_crc32c_instruction()) return by_instruction(bytes, before);
#endif
    return crc32c_by_table(bytes, before);
}

}  // namespace penstock
