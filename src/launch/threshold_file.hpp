#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transports/thresholds.hpp"

namespace penstock {

/// Thresholds of a transport, and what they were measured for: its library, version and devices.
struct MeasuredEntry {
    std::string transport;
    std::string measured_for;
    Thresholds thresholds;
    std::string figures = {};  ///< JSON: what was measured, for people.
    std::string unread = {};   ///< JSON: the thresholds of a transport that is not in this build.
};

/// What `penstock tune` has measured, of any number of systems.
class ThresholdFile {
public:
    ThresholdFile() = default;
    /// @param path  For messages. @throws Error{invalid_input} naming the lines and what to do.
    ThresholdFile(std::string_view text, std::string path);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const std::vector<MeasuredEntry>& entries() const noexcept { return entries_; }
    [[nodiscard]] std::optional<Thresholds> find(std::string_view transport, std::string_view measured_for) const;
    /// In the place of those of the same transport and system.
    void put(MeasuredEntry entry);
    [[nodiscard]] std::string text() const;

private:
    std::string path_;
    std::vector<MeasuredEntry> entries_;
};

/// Where a run looks for thresholds: PENSTOCK_TUNING, else a file in the user's cache.
struct ThresholdPlace {
    std::string path = {};  ///< Empty: nowhere.
    bool is_named = false;  ///< By PENSTOCK_TUNING: it has to be there.

    /// PENSTOCK_TUNING=off is nowhere.
    [[nodiscard]] static ThresholdPlace from_environment();
};

/// What there is to be used. A file in the cache that is not sound is passed over with a warning.
struct FoundThresholds {
    ThresholdFile file = {};  ///< Without a path: there is none.
    std::string warning = {};
};
/// @throws Error{invalid_input} if a file that was named is not there, not sound, or not to be trusted: it must be the
/// user's own or root's, and nobody else may write to it.
[[nodiscard]] FoundThresholds find_thresholds(const ThresholdPlace& place);

/// Writes the entries into that file, which keeps those of other systems; makes its folder. One that was not sound is
/// replaced. @return a remark about that, or nothing. @throws as `replace_file` does.
[[nodiscard]] std::string save_thresholds(const std::string& path, std::vector<MeasuredEntry> entries);

}  // namespace penstock
