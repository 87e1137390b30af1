#include "plan/describe.hpp"

#include "base/format.hpp"
#include "base/quote.hpp"
#include "base/table.hpp"

namespace penstock {
namespace {

/// Stages with more instances than this take one line, not one for each.
constexpr int max_listed_instances = 16;

std::string range(std::uint64_t first, int count) {
    const auto last = first + static_cast<std::uint64_t>(count) - 1;
    return count == 1 ? std::to_string(first) : std::to_string(first) + '-' + std::to_string(last);
}

void add_instances(Table& table, const PlannedStage& stage, int first, int count) {
    const auto rank = stage.first_rank + static_cast<std::uint32_t>(first);
    table.add({range(rank, count), stage.name, range(static_cast<std::uint64_t>(first), count), stage.operator_name,
               std::string{name_of(stage.device)}});
}

std::string rank_table(const Plan& plan) {
    Table table{{"rank", "stage", "instance", "operator", "device"}};
    table.add({"0", "coordinator"});
    for (const auto& stage : plan.stages) {
        if (stage.instances > max_listed_instances) {
            add_instances(table, stage, 0, stage.instances);
            continue;
        }
        for (int instance = 0; instance < stage.instances; ++instance) add_instances(table, stage, instance, 1);
    }
    return table.text();
}

std::string channel_table(const Plan& plan) {
    Table table{{"channel", "from", "to", "route", "capacity", "overflow", "dispatch", "transport"}};
    for (const auto& channel : plan.channels) {
        table.add({channel.name, plan.stages[channel.from].name, plan.stages[channel.to].name, route_text(channel),
                   std::to_string(channel.capacity) + " payloads, " + format_bytes(channel.capacity_bytes),
                   std::string{name_of(channel.overflow)}, dispatch_text(channel),
                   std::string{name_of(channel.transport)}.append(": ").append(transport_reason(channel.transport))});
    }
    return table.text();
}

}  // namespace

std::string route_text(const PlannedChannel& channel) {
    std::string text{name_of(channel.route)};
    if (channel.route == Route::hash) text += " by " + channel.key;
    if (!channel.filter.empty()) text += ", if " + printable(channel.filter);
    if (channel.sample > 1) text += ", 1 of " + std::to_string(channel.sample);
    return text;
}

std::string dispatch_text(const PlannedChannel& channel) {
    std::string text{name_of(channel.dispatch)};
    return channel.by == PassBy::value ? text + ", by value" : text;
}

std::string_view transport_reason(TransportKind transport) noexcept {
    switch (transport) {
        case TransportKind::automatic: return "shm between processes of one node, else ucx or ofi where they work, else mpi";
        case TransportKind::shm: return "asked for by the channel; needs all its processes on one node";
        case TransportKind::ucx: return "asked for by the channel; needs UCX where its processes run";
        case TransportKind::ofi: return "asked for by the channel; needs libfabric where its processes run";
        case TransportKind::mpi: return "asked for by the channel; needs an MPI launch";
    }
    return "";
}

std::string describe(const Plan& plan) {
    return "pipeline " + plan.pipeline + ": " + std::to_string(plan.stages.size()) + " stages, " +
           std::to_string(plan.channels.size()) + " channels, " + std::to_string(plan.ranks()) + " processes\n\n" +
           rank_table(plan) + '\n' + channel_table(plan);
}

}  // namespace penstock
