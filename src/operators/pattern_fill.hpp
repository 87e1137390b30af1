#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace penstock {

/// Metadata key that carries the first word of a filled payload.
inline constexpr const char* pattern_key = "pattern";

/// First word of payload `sequence`: differs in most bits from one to the next (the finaliser of splitmix64).
[[nodiscard]] constexpr std::uint64_t pattern_start(std::uint64_t sequence) noexcept {
    std::uint64_t mixed = sequence + 0x9e3779b97f4a7c15U;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31U);
}

/// Fills the bytes with consecutive 64-bit words from `start`; the last word may be cut.
inline void fill_pattern(std::span<std::byte> bytes, std::uint64_t start) noexcept {
    std::size_t at = 0;
    std::uint64_t word = start;
    for (; at + sizeof word <= bytes.size(); at += sizeof word, ++word) std::memcpy(&bytes[at], &word, sizeof word);
    if (at < bytes.size()) std::memcpy(&bytes[at], &word, bytes.size() - at);
}

/// Sum of the 64-bit words, a cut last one filled up with zeros.
[[nodiscard]] inline std::uint64_t sum_words(std::span<const std::byte> bytes) noexcept {
    std::uint64_t sum = 0;
    std::uint64_t word = 0;
    std::size_t at = 0;
    for (; at + sizeof word <= bytes.size(); at += sizeof word) {
        std::memcpy(&word, &bytes[at], sizeof word);
        sum += word;
    }
    if (at == bytes.size()) return sum;
    word = 0;
    std::memcpy(&word, &bytes[at], bytes.size() - at);
    return sum + word;
}

/// What `sum_words` gives for `size_bytes` filled from `start`.
[[nodiscard]] inline std::uint64_t pattern_sum(std::size_t size_bytes, std::uint64_t start) noexcept {
    const std::uint64_t words = size_bytes / sizeof start;
    // One of the two factors is even; halve it before they wrap around.
    const std::uint64_t steps = words % 2 == 0 ? words / 2 * (words - 1) : (words - 1) / 2 * words;
    const std::uint64_t last = start + words;
    std::uint64_t cut = 0;
    std::memcpy(&cut, &last, size_bytes % sizeof last);
    return words * start + steps + cut;
}

}  // namespace penstock
