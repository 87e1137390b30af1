#include "runtime/snapshot.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "base/format.hpp"
#include "base/table.hpp"
#include "runtime/statistics.hpp"

namespace penstock {
namespace {

void add_stalls(ChannelTotals& totals, const ChannelStatus& end) noexcept {
    for (std::size_t i = 0; i < stalls; ++i) totals.stalled_ns[i] += end.stalled_ns[i];
}

[[nodiscard]] double mean_utilization(const Plan& plan, const RunSnapshot& run, std::size_t stage) {
    double sum = 0;
    for (const InstanceView& view : run.instances) {
        if (plan.place(view.rank).stage == stage) sum += utilization(plan.stages[stage], view.status);
    }
    return sum / std::max(plan.stages[stage].instances, 1);
}

[[nodiscard]] std::string stage_table(const Plan& plan, const RunSnapshot& run) {
    Table table{{"stage", "instances", "busy", "latency p50", "p99", "max", "counters"}};
    for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
        const PlannedStage& planned = plan.stages[stage];
        std::vector<std::string> row{planned.name, std::to_string(planned.instances),
                                     fmt::format("{:.0f} %", 100 * mean_utilization(plan, run, stage))};
        if (const auto latency = stage_latency(plan, run, stage)) {
            for (const std::uint64_t value : {latency->quantile(0.5), latency->quantile(0.99), latency->max()}) {
                row.push_back(format_duration(std::chrono::nanoseconds{value}));
            }
        } else {
            row.insert(row.end(), {"", "", ""});
        }
        std::string counters;
        for (const auto& counter : stage_counters(plan, run, stage)) {
            counters += fmt::format("{}{} {}", counters.empty() ? "" : ", ", counter.second, counter.first);
        }
        row.push_back(std::move(counters));
        table.add(std::move(row));
    }
    return table.text();
}

/// "lz4 to 1.2 MiB (2.56), 3 raw".
[[nodiscard]] std::string compression_text(Codec codec, const ChannelTotals& totals) {
    if (codec == Codec::none) return "";
    return fmt::format("{} to {} ({:.2f}), {} raw", name_of(codec), format_bytes(totals.packed_to),
                       compression_ratio(totals), totals.not_packed);
}

[[nodiscard]] std::string channel_table(const Plan& plan, const RunSnapshot& run) {
    const double elapsed = std::max(run.elapsed_s, 1e-9);
    std::vector<std::string> headers{"channel", "published", "delivered", "settled",   "dropped",
                                     "bytes",   "rate",      "no data",   "no credit", "fabric"};
    const bool compresses = std::any_of(plan.channels.begin(), plan.channels.end(), [](const PlannedChannel& channel) {
        return channel.compression.codec != Codec::none;
    });
    if (compresses) headers.emplace_back("compressed");
    Table table{std::move(headers)};
    for (std::size_t channel = 0; channel < plan.channels.size(); ++channel) {
        const ChannelTotals totals = channel_totals(plan, run, static_cast<std::uint16_t>(channel));
        std::vector<std::string> row{plan.channels[channel].name};
        for (const std::uint64_t count : {totals.published, totals.delivered, totals.settled, totals.dropped}) {
            row.push_back(std::to_string(count));
        }
        row.push_back(format_bytes(totals.bytes));
        row.push_back(format_bytes(static_cast<std::uint64_t>(static_cast<double>(totals.bytes) / elapsed)) + "/s");
        for (const std::uint64_t stalled : totals.stalled_ns) {
            row.push_back(format_duration(std::chrono::nanoseconds{stalled}));
        }
        if (compresses) row.push_back(compression_text(plan.channels[channel].compression.codec, totals));
        table.add(std::move(row));
    }
    return table.text();
}

}  // namespace

std::string_view name_of(RunState state) noexcept {
    switch (state) {
        case RunState::starting: return "starting";
        case RunState::running: return "running";
        case RunState::stopping: return "stopping";
        case RunState::completed: return "completed";
        case RunState::failed: return "failed";
        case RunState::cancelled: return "cancelled";
    }
    return "unknown";
}

ChannelTotals channel_totals(const Plan& plan, const RunSnapshot& run, std::uint16_t channel) {
    ChannelTotals totals;
    for (const InstanceView& view : run.instances) {
        const PlannedStage& stage = plan.stages[plan.place(view.rank).stage];
        if (const ChannelStatus* sent = find_channel(stage, view, channel, false)) {
            totals.published += sent->published;
            totals.dropped += sent->dropped;
            totals.filtered += sent->filtered;
            totals.skipped += sent->skipped;
            totals.settled += sent->settled;
            totals.bytes += sent->bytes;
            totals.packed_from += sent->bytes;
            totals.packed_to += sent->packed_to;
            totals.not_packed += sent->not_packed;
            totals.in_flight += sent->sent - std::min(sent->sent, sent->settled);
            add_stalls(totals, *sent);
        }
        if (const ChannelStatus* received = find_channel(stage, view, channel, true)) {
            totals.delivered += received->sent;
            totals.queued += received->queued;
            add_stalls(totals, *received);
        }
    }
    const auto broker = std::find_if(run.brokers.begin(), run.brokers.end(),
                                     [&](const BrokerView& view) { return view.channel == channel; });
    if (broker == run.brokers.end()) return totals;
    // Producers send to the coordinator; it sends to the receivers, and counts as they do elsewhere.
    const PlannedChannel& planned = plan.channels[channel];
    if (planned.route == Route::broadcast) {
        const auto receivers = static_cast<std::uint64_t>(plan.stages[planned.to].instances);
        totals.published *= receivers;
        totals.dropped *= receivers;
    }
    totals.dropped += broker->dropped;
    totals.settled = broker->settled;
    totals.bytes = broker->bytes;
    totals.queued += broker->queued;
    totals.rank0_bytes = broker->touched_bytes;
    totals.in_flight = totals.published - std::min(totals.published, totals.dropped + totals.settled);
    return totals;
}

std::uint64_t counter_total(const Plan& plan, const RunSnapshot& run, std::size_t stage, std::string_view name) {
    const auto counters = stage_counters(plan, run, stage);
    const auto at = counters.find(std::string{name});
    return at == counters.end() ? 0 : at->second;
}

std::string snapshot_table(const Plan& plan, const RunSnapshot& run) {
    std::string text = fmt::format("{} {} in {:.2f} s\n", plan.pipeline, name_of(run.state), run.elapsed_s);
    text += stage_table(plan, run) + channel_table(plan, run);
    if (run.several_hosts && run_latency(run)) {
        text += "p50, p99 and max are from source to sink, and between hosts off by what their clocks differ.\n";
    }
    return text;
}

std::string waiting_report(const Plan& plan, const RunSnapshot& run) {
    std::string text;
    for (const BrokerView& broker : run.brokers) {
        if (broker.queued == 0) continue;
        text += fmt::format(
            "  coordinator (rank 0): {} payloads of channel '{}' wait; holds {} credits, {} unsettled\n", broker.queued,
            plan.channels[broker.channel].name, broker.credits, broker.published - broker.dropped - broker.settled);
    }
    for (const InstanceView& view : run.instances) {
        if (view.done) continue;
        const Place place = plan.place(view.rank);
        const PlannedStage& stage = plan.stages[place.stage];
        const auto activity = static_cast<Activity>(view.status.head.activity);
        text += fmt::format("  {}.{} (rank {}): {}", stage.name, place.instance, view.rank, state_of(view));
        const auto channel = static_cast<std::size_t>(view.status.head.channel);
        const bool names_channel =
            activity == Activity::waiting_for_input || activity == Activity::waiting_for_credit ||
            activity == Activity::waiting_for_settlement || activity == Activity::waiting_for_blob;
        if (names_channel && channel < plan.channels.size()) {
            const PlannedChannel& waits = plan.channels[channel];
            const bool input = activity == Activity::waiting_for_input || activity == Activity::waiting_for_blob;
            text += fmt::format(" on channel '{}' {} stage '{}'", waits.name, input ? "from" : "to",
                                plan.stages[input ? waits.from : waits.to].name);
        }
        if (activity == Activity::operating && !stage.inputs.empty()) {
            text += fmt::format(" '{}' with payload {}", stage.operator_name, view.status.head.payload);
        } else if (activity == Activity::operating) {
            text += fmt::format(" '{}'", stage.operator_name);
        }
        for (const std::uint16_t output : stage.outputs) {
            const ChannelStatus* status = find_channel(stage, view, output, false);
            text += fmt::format("; '{}': holds {} credits, {} unsettled", plan.channels[output].name, status->credits,
                                status->sent - status->settled);
        }
        for (const std::uint16_t input : stage.inputs) {
            const ChannelStatus* status = find_channel(stage, view, input, true);
            text += fmt::format("; '{}': {} queued", plan.channels[input].name, status->queued);
        }
        text += "\n";
    }
    return text;
}

}  // namespace penstock
