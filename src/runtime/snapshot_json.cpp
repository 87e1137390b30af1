#include <cstdint>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "runtime/statistics.hpp"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

/// 1.024 us to 17 s, as powers of two of ns.
constexpr unsigned smallest_bound = 10;
constexpr unsigned largest_bound = 34;

[[nodiscard]] double seconds(std::uint64_t nanoseconds) noexcept {
    return static_cast<double>(nanoseconds) / 1e9;
}

[[nodiscard]] double microseconds(std::uint64_t nanoseconds) noexcept {
    return static_cast<double>(nanoseconds) / 1e3;
}

[[nodiscard]] Json time_json(const TimeSpent& time) {
    return {{"operator", time.in_operator}, {"paced", time.paced},         {"no_data", time.no_data},
            {"no_credit", time.no_credit},  {"no_memory", time.no_memory}, {"fabric", time.fabric},
            {"settlement", time.settlement}};
}

[[nodiscard]] Json latency_json(const LogHistogram& latency) {
    return {{"count", latency.count()},
            {"mean", latency.mean() / 1e3},
            {"p50", microseconds(latency.quantile(0.5))},
            {"p90", microseconds(latency.quantile(0.9))},
            {"p99", microseconds(latency.quantile(0.99))},
            {"p999", microseconds(latency.quantile(0.999))},
            {"max", microseconds(latency.max())}};
}

[[nodiscard]] Json latency_counts_json(const LogHistogram& latency) {
    auto json = Json::object();
    for (unsigned bound = smallest_bound; bound <= largest_bound; ++bound) {
        const std::uint64_t below = std::uint64_t{1} << bound;
        json[fmt::format("{}", microseconds(below))] = latency.count_to(below - 1);
    }
    return json;
}

[[nodiscard]] Json stalls_json(const ChannelTotals& channel) {
    const auto of = [&](Stall cause) { return seconds(channel.stalled_ns[static_cast<std::size_t>(cause)]); };
    return {{"no_data", of(Stall::no_data)}, {"no_credit", of(Stall::no_credit)}, {"fabric", of(Stall::fabric)}};
}

[[nodiscard]] Json compression_json(const PlannedChannel& planned, const ChannelTotals& channel) {
    return {{"codec", name_of(planned.compression.codec)}, {"level", planned.compression.level},
            {"bytes_before", channel.packed_from},         {"bytes_after", channel.packed_to},
            {"ratio", compression_ratio(channel)},         {"raw_payloads", channel.not_packed}};
}

[[nodiscard]] Json instance_json(const Plan& plan, const InstanceView& view) {
    const Place place = plan.place(view.rank);
    const PlannedStage& stage = plan.stages[place.stage];
    Json json{{"instance", place.instance},
              {"rank", view.rank},
              {"state", state_of(view)},
              {"idle_s", seconds(view.status.head.idle_ns)},
              {"utilization", utilization(stage, view.status)},
              {"time_s", time_json(time_spent(view.status))}};
    if (stage.threads > 1) {
        const StatusHead& head = view.status.head;
        json["threads"] = {{"limit", stage.threads},
                           {"active", head.active_threads},
                           {"morsels", head.morsels},
                           {"steals", head.steals}};
    }
    if (view.parking) json.update({{"parked", view.parking->is_parked}, {"weight", view.parking->weight}});
    for (const LogHistogram& latency : view.status.latency) json["latency_us"] = latency_json(latency);
    for (const auto& entry : counters_of(view.status)) json["counters"][entry.first] = entry.second;
    const auto add_channel = [&](std::uint16_t channel, bool input) {
        const ChannelStatus* status = find_channel(stage, view, channel, input);
        Json entry{{"channel", plan.channels[channel].name}};
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
                          {"filtered", status->filtered},
                          {"skipped", status->skipped},
                          {"bytes", status->bytes},
                          {"credits", status->credits}});
            if (plan.channels[channel].compression.codec != Codec::none) {
                entry.update({{"bytes_after", status->packed_to}, {"raw_payloads", status->not_packed}});
            }
        }
        json[input ? "inputs" : "outputs"].push_back(std::move(entry));
    };
    for (const std::uint16_t channel : stage.inputs) add_channel(channel, true);
    for (const std::uint16_t channel : stage.outputs) add_channel(channel, false);
    return json;
}

[[nodiscard]] Json thresholds_json(const RunSnapshot& run, const ThresholdsInUse& in_use) {
    Json json{{"transport", in_use.transport},
              {"measured_for", in_use.measured_for},
              {"from", in_use.is_measured ? run.thresholds_file : "built in"}};
    for (const Threshold& each : all_thresholds) {
        const std::uint32_t value = in_use.thresholds.*each.value;
        if (value != 0) json[std::string{each.name}] = value;
    }
    return json;
}

}  // namespace

std::string snapshot_json(const Plan& plan, const RunSnapshot& run, std::string_view run_dir) {
    Json json{{"pipeline", plan.pipeline}, {"state", name_of(run.state)}, {"exit_code", run.exit_code},
              {"error", run.error},        {"elapsed_s", run.elapsed_s},  {"run_dir", run_dir},
              {"stages", Json::array()},   {"channels", Json::array()}};
    for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
        Json entry{{"name", plan.stages[stage].name}, {"operator", plan.stages[stage].operator_name}};
        for (const auto& counter : stage_counters(plan, run, stage)) entry["counters"][counter.first] = counter.second;
        for (const InstanceView& view : run.instances) {
            if (plan.place(view.rank).stage == stage) entry["instances"].push_back(instance_json(plan, view));
        }
        if (const auto latency = stage_latency(plan, run, stage)) {
            entry["latency_us"] = latency_json(*latency);
            entry["latency_us"]["at_most"] = latency_counts_json(*latency);
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
                                    {"filtered", totals.filtered},
                                    {"skipped", totals.skipped},
                                    {"bytes", totals.bytes},
                                    {"rank0_bytes", totals.rank0_bytes},
                                    {"queued", totals.queued},
                                    {"in_flight", totals.in_flight},
                                    {"stalled_s", stalls_json(totals)}});
        const PlannedChannel& planned = plan.channels[channel];
        if (planned.compression.codec == Codec::none) continue;
        json["channels"].back()["compression"] = compression_json(planned, totals);
    }
    for (const ThresholdsInUse& each : run.thresholds) json["thresholds"].push_back(thresholds_json(run, each));
    if (const auto latency = run_latency(run)) {
        json["latency_us"] = latency_json(*latency);
        json["latency_us"]["several_clocks"] = run.several_hosts;
        json["latency_us"]["negative"] = clock_differences(run);
    }
    return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace penstock
