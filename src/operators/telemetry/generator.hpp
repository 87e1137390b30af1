#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace penstock::telemetry {

/// A file as the DCGM exporter's recorder writes it: every field quoted, a row for each time, metric and GPU.
struct GeneratedFile {
    std::string path;
    std::uint64_t gpus = 8;
    std::uint64_t metrics = 10;  ///< The first so many of `metric_names`.
    std::uint64_t times = 100;   ///< One second apart.
    std::uint64_t seed = 1;
    bool labels = true;  ///< Fill labels_raw, which makes a row three times as long.
};

/// The fields that the DCGM exporter records.
[[nodiscard]] std::span<const std::string_view> metric_names() noexcept;

/// Makes the same file from the same numbers. @return the rows below the header.
/// @throws Error{invalid_input} if it cannot be created, Error{exhausted} if there is no room for it.
std::uint64_t generate(const GeneratedFile& file);

}  // namespace penstock::telemetry
