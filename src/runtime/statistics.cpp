#include "runtime/statistics.hpp"

#include <algorithm>

namespace penstock {
namespace {

[[nodiscard]] double seconds(std::uint64_t nanoseconds) noexcept {
    return static_cast<double>(nanoseconds) / 1e9;
}

void merge_into(std::optional<LogHistogram>& sum, const Status& status) {
    for (const LogHistogram& latency : status.latency) {
        if (!sum) sum.emplace();
        sum->merge(latency);
    }
}

}  // namespace

TimeSpent time_spent(const Status& status) noexcept {
    const StatusHead& head = status.head;
    return {
        .in_operator = seconds(head.spent(Activity::operating)),
        .paced = seconds(head.spent(Activity::paced)),
        .no_data = seconds(head.spent(Activity::waiting_for_input)),
        .no_credit = seconds(head.spent(Activity::waiting_for_credit)),
        .no_memory = seconds(head.spent(Activity::waiting_for_memory)),
        .fabric = seconds(head.spent(Activity::waiting_for_outbox)) + seconds(head.spent(Activity::waiting_for_blob)),
        .settlement = seconds(head.spent(Activity::waiting_for_settlement))};
}

double utilization(const PlannedStage& stage, const Status& status) noexcept {
    const TimeSpent time = time_spent(status);
    const double busy = time.in_operator + (stage.inputs.empty() ? 0 : time.paced);
    return time.sum() > 0 ? std::clamp(busy / time.sum(), 0.0, 1.0) : 0;
}

std::optional<LogHistogram> stage_latency(const Plan& plan, const RunSnapshot& run, std::size_t stage) {
    std::optional<LogHistogram> sum;
    for (const InstanceView& view : run.instances) {
        if (plan.place(view.rank).stage == stage) merge_into(sum, view.status);
    }
    return sum;
}

std::optional<LogHistogram> run_latency(const RunSnapshot& run) {
    std::optional<LogHistogram> sum;
    for (const InstanceView& view : run.instances) merge_into(sum, view.status);
    return sum;
}

std::uint64_t clock_differences(const RunSnapshot& run) noexcept {
    std::uint64_t sum = 0;
    for (const InstanceView& view : run.instances) sum += view.status.head.clock_differs;
    return sum;
}

const ChannelStatus* find_channel(const PlannedStage& stage, const InstanceView& view, std::uint16_t channel,
                                  bool input) noexcept {
    const auto& list = input ? stage.inputs : stage.outputs;
    const auto at = std::find(list.begin(), list.end(), channel);
    if (at == list.end()) return nullptr;
    const auto index = static_cast<std::size_t>(at - list.begin()) + (input ? 0 : stage.inputs.size());
    return &view.status.channels[index];
}

double compression_ratio(const ChannelTotals& channel) noexcept {
    if (channel.packed_to == 0) return 1;
    return static_cast<double>(channel.packed_from) / static_cast<double>(channel.packed_to);
}

std::string state_of(const InstanceView& view) {
    if (view.done) return "done";
    if (!view.ready) return "not ready";
    const bool waits = view.status.head.activity == static_cast<std::uint64_t>(Activity::waiting_for_input);
    if (waits && view.parking && view.parking->is_parked) return "parked";
    return std::string{words_for(static_cast<Activity>(view.status.head.activity))};
}

std::map<std::string, std::uint64_t> counters_of(const Status& status) {
    std::map<std::string, std::uint64_t> counters;
    for (const NamedCounter& counter : status.head.named) {
        if (counter.name[0] != '\0') counters[counter.name.data()] += counter.value;
    }
    return counters;
}

std::map<std::string, std::uint64_t> stage_counters(const Plan& plan, const RunSnapshot& run, std::size_t stage) {
    std::map<std::string, std::uint64_t> sum;
    for (const InstanceView& view : run.instances) {
        if (plan.place(view.rank).stage != stage) continue;
        for (const auto& entry : counters_of(view.status)) sum[entry.first] += entry.second;
    }
    return sum;
}

}  // namespace penstock
