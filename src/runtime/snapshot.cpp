#include "runtime/snapshot.hpp"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/format.hpp"

namespace penstock {
namespace {

/// Where a channel stands in the status of an instance: inputs first, then outputs.
[[nodiscard]] const ChannelStatus* find_channel(const PlannedStage& stage, const InstanceView& view,
                                                std::uint16_t channel, bool input) {
    const auto& list = input ? stage.inputs : stage.outputs;
    const auto at = std::find(list.begin(), list.end(), channel);
    if (at == list.end()) return nullptr;
    const auto index = static_cast<std::size_t>(at - list.begin()) + (input ? 0 : stage.inputs.size());
    return &view.status.channels[index];
}

[[nodiscard]] std::string state_of(const InstanceView& view) {
    if (view.done) return "done";
    if (!view.ready) return "not ready";
    return std::string{words_for(static_cast<Activity>(view.status.head.activity))};
}

[[nodiscard]] std::map<std::string, std::uint64_t> counters_of(const Status& status) {
    std::map<std::string, std::uint64_t> counters;
    for (const NamedCounter& counter : status.head.named) {
        if (counter.name[0] != '\0') counters[counter.name.data()] += counter.value;
    }
    return counters;
}

[[nodiscard]] std::map<std::string, std::uint64_t> stage_counters(const Plan& plan, const RunSnapshot& run,
                                                                  std::size_t stage) {
    std::map<std::string, std::uint64_t> sum;
    for (const InstanceView& view : run.instances) {
        if (plan.place(view.rank).stage != stage) continue;
        for (const auto& entry : counters_of(view.status)) sum[entry.first] += entry.second;
    }
    return sum;
}

[[nodiscard]] nlohmann::ordered_json instance_json(const Plan& plan, const InstanceView& view) {
    const Place place = plan.place(view.rank);
    const PlannedStage& stage = plan.stages[place.stage];
    nlohmann::ordered_json json{{"instance", place.instance},
                                {"rank", view.rank},
                                {"state", state_of(view)},
                                {"idle_s", static_cast<double>(view.status.head.idle_ns) * 1e-9}};
    for (const auto& entry : counters_of(view.status)) json["counters"][entry.first] = entry.second;
    const auto add_channel = [&](std::uint16_t channel, bool input) {
        const ChannelStatus* status = find_channel(stage, view, channel, input);
        nlohmann::ordered_json entry{{"channel", plan.channels[channel].name}};
        if (input) {
            entry.update({{"delivered", status->sent},
                          {"settled", status->settled},
                          {"bytes", status->bytes},
                          {"queued", status->queued}});
        } else {
            entry.update({{"published", status->published},
                          {"sent", status->sent},
                          {"settled", status->settled},
                          {"dropped", status->dropped},
                          {"bytes", status->bytes},
                          {"credits", status->credits}});
        }
        json[input ? "inputs" : "outputs"].push_back(std::move(entry));
    };
    for (const std::uint16_t channel : stage.inputs) add_channel(channel, true);
    for (const std::uint16_t channel : stage.outputs) add_channel(channel, false);
    return json;
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
            totals.settled += sent->settled;
            totals.bytes += sent->bytes;
        }
        if (const ChannelStatus* received = find_channel(stage, view, channel, true)) {
            totals.delivered += received->sent;
            totals.queued += received->queued;
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
    return totals;
}

std::uint64_t counter_total(const Plan& plan, const RunSnapshot& run, std::size_t stage, std::string_view name) {
    const auto counters = stage_counters(plan, run, stage);
    const auto at = counters.find(std::string{name});
    return at == counters.end() ? 0 : at->second;
}

std::string snapshot_json(const Plan& plan, const RunSnapshot& run, std::string_view run_dir) {
    nlohmann::ordered_json json{{"pipeline", plan.pipeline},
                                {"state", name_of(run.state)},
                                {"exit_code", run.exit_code},
                                {"error", run.error},
                                {"elapsed_s", run.elapsed_s},
                                {"run_dir", run_dir},
                                {"stages", nlohmann::ordered_json::array()},
                                {"channels", nlohmann::ordered_json::array()}};
    for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
        nlohmann::ordered_json entry{{"name", plan.stages[stage].name}, {"operator", plan.stages[stage].operator_name}};
        for (const auto& counter : stage_counters(plan, run, stage)) entry["counters"][counter.first] = counter.second;
        for (const InstanceView& view : run.instances) {
            if (plan.place(view.rank).stage == stage) entry["instances"].push_back(instance_json(plan, view));
        }
        json["stages"].push_back(std::move(entry));
    }
    for (std::size_t channel = 0; channel < plan.channels.size(); ++channel) {
        const ChannelTotals totals = channel_totals(plan, run, static_cast<std::uint16_t>(channel));
        json["channels"].push_back({{"name", plan.channels[channel].name},
                                    {"published", totals.published},
                                    {"delivered", totals.delivered},
                                    {"settled", totals.settled},
                                    {"dropped", totals.dropped},
                                    {"bytes", totals.bytes},
                                    {"rank0_bytes", totals.rank0_bytes}});
    }
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string snapshot_table(const Plan& plan, const RunSnapshot& run) {
    std::string text = fmt::format("{} {} in {:.2f} s\n", plan.pipeline, name_of(run.state), run.elapsed_s);
    std::size_t width = 7;
    for (const PlannedStage& stage : plan.stages) width = std::max(width, stage.name.size());
    for (const PlannedChannel& channel : plan.channels) width = std::max(width, channel.name.size());
    const double seconds = std::max(run.elapsed_s, 1e-9);
    text += fmt::format("  {:<{}}  {:>9}  counters\n", "stage", width, "instances");
    for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
        std::string counters;
        for (const auto& counter : stage_counters(plan, run, stage)) {
            counters += fmt::format("{}{} {}", counters.empty() ? "" : ", ", counter.second, counter.first);
        }
        text += fmt::format("  {:<{}}  {:>9}  {}\n", plan.stages[stage].name, width, plan.stages[stage].instances,
                            counters);
    }
    text += fmt::format("  {:<{}}  {:>11}  {:>11}  {:>9}  {:>12}  {:>14}\n", "channel", width, "published", "delivered",
                        "dropped", "bytes", "rate");
    for (std::size_t channel = 0; channel < plan.channels.size(); ++channel) {
        const ChannelTotals totals = channel_totals(plan, run, static_cast<std::uint16_t>(channel));
        text += fmt::format("  {:<{}}  {:>11}  {:>11}  {:>9}  {:>12}  {:>12}/s\n", plan.channels[channel].name, width,
                            totals.published, totals.delivered, totals.dropped, format_bytes(totals.bytes),
                            format_bytes(static_cast<std::uint64_t>(static_cast<double>(totals.bytes) / seconds)));
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
