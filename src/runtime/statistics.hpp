#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/log_histogram.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {

/// Where the time of an instance went since the run began, in seconds. What is not here it spent starting or done.
struct TimeSpent {
    double in_operator = 0;  ///< And with what that needs of the runtime.
    double paced = 0;        ///< The operator paused on purpose.
    double no_data = 0;
    double no_credit = 0;
    double no_memory = 0;
    double fabric = 0;
    double settlement = 0;  ///< At the end: until what it has sent was settled.

    [[nodiscard]] double sum() const noexcept {
        return in_operator + paced + no_data + no_credit + no_memory + fabric + settlement;
    }
};
[[nodiscard]] TimeSpent time_spent(const Status& status) noexcept;

/// The share of its time that an instance was inside its operator, 0 to 1. A pause inside it counts for who has
/// payloads in its hands; a source that pauses has nothing to do.
[[nodiscard]] double utilization(const PlannedStage& stage, const Status& status) noexcept;

/// From source to sink, in ns, over the instances of a stage; nothing where no payloads end.
[[nodiscard]] std::optional<LogHistogram> stage_latency(const Plan& plan, const RunSnapshot& run, std::size_t stage);
/// Over all sinks.
[[nodiscard]] std::optional<LogHistogram> run_latency(const RunSnapshot& run);
/// Latencies that came out negative.
[[nodiscard]] std::uint64_t clock_differences(const RunSnapshot& run) noexcept;

/// Where a channel stands in the status of an instance, at that end; null if it has no such end.
[[nodiscard]] const ChannelStatus* find_channel(const PlannedStage& stage, const InstanceView& view,
                                                std::uint16_t channel, bool input) noexcept;
/// How many bytes of blobs came to one byte on the way; 1 where nothing was sent or compressed.
[[nodiscard]] double compression_ratio(const ChannelTotals& channel) noexcept;
/// What it is at, for people.
[[nodiscard]] std::string state_of(const InstanceView& view);
/// What the operator counted, by name.
[[nodiscard]] std::map<std::string, std::uint64_t> counters_of(const Status& status);
[[nodiscard]] std::map<std::string, std::uint64_t> stage_counters(const Plan& plan, const RunSnapshot& run,
                                                                  std::size_t stage);

}  // namespace penstock
