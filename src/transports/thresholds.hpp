#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

/// The sizes and numbers at which a transport does something in another way. 0: it has no such threshold.
struct Thresholds {
    std::uint32_t inline_bytes = 0;     ///< Blobs up to this size travel in the frame of their ticket.
    std::uint32_t coalesced_bytes = 0;  ///< So many bytes of frames are sent at once, without waiting for more.
    std::uint32_t chunk_bytes = 0;      ///< Longer blobs are fetched in chunks of this size.
    std::uint32_t in_flight = 0;        ///< Blobs that the receiving end of a channel fetches at a time.

    friend bool operator==(const Thresholds&, const Thresholds&) = default;
};

/// One of them, by the name that files and messages have.
struct Threshold {
    std::string_view name;
    std::uint32_t Thresholds::*value;
    bool is_size;
};

inline constexpr std::array all_thresholds{Threshold{"inline_bytes", &Thresholds::inline_bytes, true},
                                           Threshold{"coalesced_bytes", &Thresholds::coalesced_bytes, true},
                                           Threshold{"chunk_bytes", &Thresholds::chunk_bytes, true},
                                           Threshold{"in_flight", &Thresholds::in_flight, false}};

/// What the thresholds of a transport may be. Beyond that its protocol would break, or nothing is left to gain.
struct ThresholdRange {
    Thresholds built_in;
    Thresholds least;
    Thresholds most;

    [[nodiscard]] constexpr bool has(const Threshold& threshold) const noexcept { return most.*threshold.value != 0; }
    [[nodiscard]] constexpr bool holds(const Thresholds& thresholds) const noexcept {
        for (const Threshold& each : all_thresholds) {
            if (thresholds.*each.value < least.*each.value || thresholds.*each.value > most.*each.value) return false;
        }
        return true;
    }
};

/// A ticket with the largest metadata leaves more than that of a frame.
inline constexpr std::uint32_t largest_inline_bytes = 48U << 10U;

/// A transport of a run with its thresholds.
struct ThresholdsInUse {
    std::string transport;
    std::string measured_for;  ///< What thresholds of this transport are measured for, in words.
    Thresholds thresholds;
    bool is_measured = false;  ///< Otherwise they are built in.
};

/// "inline_bytes 16 KiB, in_flight 4".
[[nodiscard]] std::string words_of(const Thresholds& thresholds);

/// For an exchange between ranks.
[[nodiscard]] std::string encode(const Thresholds& thresholds);
/// Nothing for a text that `encode` did not make.
[[nodiscard]] std::optional<Thresholds> decode_thresholds(std::string_view text) noexcept;

}  // namespace penstock
