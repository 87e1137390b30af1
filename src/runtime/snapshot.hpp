#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/plan.hpp>

#include "runtime/status.hpp"
#include "transports/thresholds.hpp"

namespace penstock {

enum class RunState : std::uint8_t { starting, running, stopping, completed, failed, cancelled };
[[nodiscard]] std::string_view name_of(RunState state) noexcept;

/// Of an instance of a stage that parks those it does not need.
struct Parking {
    bool is_parked = false;
    double weight = 1;  ///< Its throughput as a share of the fastest one's.
};

/// What the coordinator knows about one instance.
struct InstanceView {
    std::uint32_t rank = 0;
    bool ready = false;
    bool done = false;
    Status status{};
    std::optional<Parking> parking = {};
};

/// What the coordinator has done for a central channel.
struct BrokerView {
    std::uint16_t channel = 0;
    std::uint64_t published = 0;  ///< Once for each receiver that was to get it.
    std::uint64_t settled = 0;    ///< By the consumers.
    std::uint64_t dropped = 0;
    std::uint64_t bytes = 0;          ///< Of blobs whose tickets it has passed on.
    std::uint64_t queued = 0;         ///< Tickets that wait in the coordinator.
    std::uint64_t credits = 0;        ///< Its, at the consumers.
    std::uint64_t touched_bytes = 0;  ///< Of blobs that went through the coordinator themselves.
};

/// The whole run at one moment. A value.
struct RunSnapshot {
    RunState state = RunState::starting;
    int exit_code = 0;
    std::string error = {};
    bool aborted = false;        ///< Not everybody was left able to end in order.
    bool several_hosts = false;  ///< Whose clocks differ, so that a latency between them is off by that.
    double elapsed_s = 0;
    std::vector<InstanceView> instances = {};  ///< By rank, from 1.
    std::vector<BrokerView> brokers = {};      ///< Of the central channels.
    std::vector<ThresholdsInUse> thresholds = {};
    std::string thresholds_file = {};  ///< Where those are from that are measured.
};

/// Sums over the instances of a stage or the ends of a channel.
struct ChannelTotals {
    std::uint64_t published = 0;  ///< Payloads times receivers that were to get them.
    std::uint64_t delivered = 0;
    std::uint64_t settled = 0;
    std::uint64_t dropped = 0;
    std::uint64_t bytes = 0;
    std::uint64_t queued = 0;
    std::uint64_t filtered = 0;
    std::uint64_t skipped = 0;
    std::uint64_t rank0_bytes = 0;  ///< Of blobs that went through the coordinator.
    std::uint64_t in_flight = 0;    ///< Sent and not settled: on the way, queued, or in an operator's hands.
    std::array<std::uint64_t, stalls> stalled_ns{};
    // Of a channel that compresses, over its senders:
    std::uint64_t packed_from = 0;  ///< Bytes of blobs, as `bytes` where no broker counts those.
    std::uint64_t packed_to = 0;    ///< Bytes that they came to.
    std::uint64_t not_packed = 0;   ///< Payloads that went as they are.
};
[[nodiscard]] ChannelTotals channel_totals(const Plan& plan, const RunSnapshot& run, std::uint16_t channel);
/// A counter that operators named, summed over the instances of a stage.
[[nodiscard]] std::uint64_t counter_total(const Plan& plan, const RunSnapshot& run, std::size_t stage,
                                          std::string_view name);

/// JSON for status.json, stats.json and `--json`.
[[nodiscard]] std::string snapshot_json(const Plan& plan, const RunSnapshot& run, std::string_view run_dir);
/// The final report for people.
[[nodiscard]] std::string snapshot_table(const Plan& plan, const RunSnapshot& run);
/// Who waits for whom, on which channel, holding how many credits.
[[nodiscard]] std::string waiting_report(const Plan& plan, const RunSnapshot& run);

}  // namespace penstock
