#include "transports/thresholds.hpp"

#include <charconv>

#include "base/format.hpp"

namespace penstock {

std::string words_of(const Thresholds& thresholds) {
    std::string text;
    for (const Threshold& each : all_thresholds) {
        const std::uint32_t value = thresholds.*each.value;
        if (value == 0) continue;
        text.append(text.empty() ? "" : ", ").append(each.name).append(" ");
        text.append(each.is_size ? format_bytes(value) : std::to_string(value));
    }
    return text;
}

std::string encode(const Thresholds& thresholds) {
    std::string text;
    for (const Threshold& each : all_thresholds) text.append(std::to_string(thresholds.*each.value)).append(" ");
    return text;
}

std::optional<Thresholds> decode_thresholds(std::string_view text) noexcept {
    Thresholds thresholds;
    const char* at = text.data();
    const char* const end = at + text.size();
    for (const Threshold& each : all_thresholds) {
        const auto [stop, failed] = std::from_chars(at, end, thresholds.*each.value);
        if (failed != std::errc{} || stop == end || *stop != ' ') return std::nullopt;
        at = stop + 1;
    }
    return at == end ? std::optional{thresholds} : std::nullopt;
}

}  // namespace penstock
