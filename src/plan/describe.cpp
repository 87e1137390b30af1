#include "plan/describe.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/format.hpp"
#include "base/quote.hpp"
#include "base/table.hpp"
#include "plan/phases.hpp"
#include "plan/placement.hpp"

namespace penstock {
namespace {

/// Stages with more instances than this take one line, not one for each.
constexpr int max_listed_instances = 16;

std::string range(std::uint64_t first, int count) {
    const auto last = first + static_cast<std::uint64_t>(count) - 1;
    return count == 1 ? std::to_string(first) : std::to_string(first) + '-' + std::to_string(last);
}

/// "3", "1-4", or "5 nodes" where they are not in a row.
std::string node_range(NodesOfRanks nodes) {
    std::vector<std::uint32_t> numbers{nodes.begin(), nodes.end()};
    std::ranges::sort(numbers);
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    const std::size_t count = numbers.size();
    if (numbers.back() - numbers.front() + 1 != count) return std::to_string(count) + " nodes";
    return range(numbers.front() + std::uint64_t{1}, static_cast<int>(count));
}

bool has_placements(const Plan& plan) {
    return std::ranges::any_of(plan.stages,
                               [](const PlannedStage& stage) { return stage.placement != StagePlacement{}; });
}

class RankTable {
public:
    RankTable(const Plan& plan, NodesOfRanks nodes)
        : plan_{plan}, nodes_{nodes}, has_placement_{has_placements(plan)}, table_{headers()} {}

    std::string text() {
        table_.add(with_node({"0", "coordinator", "", "", ""}, 0, 1));
        for (const auto& stage : plan_.stages) {
            if (stage.instances > max_listed_instances) {
                add_instances(stage, 0, stage.instances);
                continue;
            }
            for (int instance = 0; instance < stage.instances; ++instance) add_instances(stage, instance, 1);
        }
        return table_.text();
    }

private:
    [[nodiscard]] std::vector<std::string> headers() const {
        std::vector<std::string> names{"rank", "stage", "instance", "operator", "device"};
        if (!nodes_.empty()) names.emplace_back("node");
        if (has_placement_) names.emplace_back("placement");
        return names;
    }

    [[nodiscard]] std::vector<std::string> with_node(std::vector<std::string> row, std::uint32_t rank, int count) {
        if (!nodes_.empty()) row.push_back(node_range(nodes_.subspan(rank, static_cast<std::size_t>(count))));
        return row;
    }

    void add_instances(const PlannedStage& stage, int first, int count) {
        const auto rank = stage.first_rank + static_cast<std::uint32_t>(first);
        auto row = with_node({range(rank, count), stage.name, range(static_cast<std::uint64_t>(first), count),
                              stage.operator_name, std::string{name_of(stage.device)}},
                             rank, count);
        if (has_placement_) row.push_back(placement_words(stage.placement));
        table_.add(std::move(row));
    }

    const Plan& plan_;
    NodesOfRanks nodes_;
    bool has_placement_;
    Table table_;
};

std::string transport_text(const PlannedChannel& channel) {
    std::string text{name_of(channel.transport)};
    text.append(": ").append(transport_reason(channel.transport));
    if (const auto blobs = blob_text(channel); !blobs.empty()) text.append("; ").append(blobs);
    if (channel.compression.codec == Codec::none) return text;
    return text.append(channel.transport == TransportKind::shm
                           ? " (compresses nothing: shm maps blobs)"
                           : " (compresses what is fetched, and nothing where shm maps blobs)");
}

std::string channel_table(const Plan& plan) {
    Table table{{"channel", "from", "to", "route", "capacity", "overflow", "dispatch", "transport"}};
    for (const auto& channel : plan.channels) {
        table.add({channel.name, plan.stages[channel.from].name, plan.stages[channel.to].name, route_text(channel),
                   std::to_string(channel.capacity) + " payloads, " + format_bytes(channel.capacity_bytes),
                   std::string{name_of(channel.overflow)}, dispatch_text(channel), transport_text(channel)});
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

std::string blob_text(const PlannedChannel& channel) {
    std::string text;
    const auto [codec, level] = channel.compression;
    if (codec != Codec::none) text.append(name_of(codec)).append(" level ").append(std::to_string(level));
    if (channel.checksum != Checksum::none) text.append(text.empty() ? "" : ", ").append(name_of(channel.checksum));
    return text;
}

std::string_view transport_reason(TransportKind transport) noexcept {
    switch (transport) {
        case TransportKind::automatic:
            return "shm between processes of one node, else ucx or ofi where they work, else mpi";
        case TransportKind::shm: return "asked for by the channel; needs all its processes on one node";
        case TransportKind::ucx: return "asked for by the channel; needs UCX where its processes run";
        case TransportKind::ofi: return "asked for by the channel; needs libfabric where its processes run";
        case TransportKind::mpi: return "asked for by the channel; needs an MPI launch";
    }
    return "";
}

std::string phase_line(const Plan& plan) {
    if (!plan.phase) return {};
    std::string text = phase_words(plan);
    for (const std::string& name : plan.phase->after)
        text += (&name == &plan.phase->after.front() ? ", after " : ", ") + name;
    return text;
}

std::string describe(const Chain& chain, const std::vector<std::vector<std::uint32_t>>& nodes) {
    std::string text;
    for (std::size_t i = 0; i < chain.phases.size(); ++i) {
        text += (i == 0 ? "" : "\n") + describe(chain.phases[i], nodes[i]);
    }
    return text;
}

std::string describe(const Plan& plan, NodesOfRanks nodes) {
    return "pipeline " + plan.pipeline + (plan.phase ? ", " + phase_line(plan) : "") + ": " +
           std::to_string(plan.stages.size()) + " stages, " + std::to_string(plan.channels.size()) + " channels, " +
           std::to_string(plan.ranks()) + " processes\n\n" + RankTable{plan, nodes}.text() + '\n' + channel_table(plan);
}

}  // namespace penstock
