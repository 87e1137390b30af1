#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <penstock/spec.hpp>

namespace penstock {

inline constexpr int max_threads = 1024;
inline constexpr int least_morsel_kib = 16;
inline constexpr int most_morsel_kib = 1024;
inline constexpr std::size_t max_stages = 4096;
inline constexpr std::size_t max_channels = 65'535;
inline constexpr int max_instances = 100'000;
inline constexpr std::uint32_t max_capacity = 1U << 20U;
inline constexpr std::size_t max_key_bytes = 255;
inline constexpr std::uint32_t max_sample = 1'000'000'000;
inline constexpr int max_per_node = 100'000;

/// Names of pipelines, stages and channels become names of files: letters, digits, "_", "." and "-", at most 64, not
/// starting with "." or "-".
[[nodiscard]] bool is_name(std::string_view text) noexcept;
/// The rule in words, for "must be ...".
inline constexpr std::string_view name_rule =
    "1 to 64 letters, digits, \"_\", \".\" or \"-\", starting with a letter, a digit or \"_\"";
/// The nearest thing that is a name, as advice; `fallback` if nothing is left of it.
[[nodiscard]] std::string as_name(std::string_view text, std::string_view fallback);

/// What is wrong with the filter of a channel, if anything is.
[[nodiscard]] std::optional<std::string> filter_problem(std::string_view filter);

/// The channel's own name, or "<from>-<to>", which may be longer than a name that is given.
[[nodiscard]] std::string channel_name(const ChannelSpec& channel);

}  // namespace penstock
