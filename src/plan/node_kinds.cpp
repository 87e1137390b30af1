#include "plan/node_kinds.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace penstock {
namespace {

/// By stage. One that is beside another is on its kind of nodes.
[[nodiscard]] std::vector<NodeKind> kinds_of_stages(const Plan& plan) {
    std::unordered_map<std::string_view, std::size_t> numbers;
    for (std::size_t i = 0; i < plan.stages.size(); ++i) numbers.emplace(plan.stages[i].name, i);
    std::vector<std::optional<NodeKind>> kinds(plan.stages.size());
    for (std::size_t first = 0; first < kinds.size(); ++first) {
        std::vector<std::size_t> chain{first};
        while (!kinds[chain.back()] && plan.stages[chain.back()].placement.rule == PlacementRule::with) {
            chain.push_back(numbers.at(plan.stages[chain.back()].placement.stage));
        }
        const StagePlacement& leader = plan.stages[chain.back()].placement;
        const NodeKind kind =
            kinds[chain.back()].value_or(NodeKind{.constraint = leader.constraint, .partition = leader.partition});
        for (const std::size_t stage : chain) kinds[stage] = kind;
    }
    std::vector<NodeKind> all;
    for (auto& kind : kinds) all.push_back(std::move(*kind));
    return all;
}

/// Each once, the coordinator's first.
[[nodiscard]] std::vector<NodeKind> different_kinds(const std::vector<NodeKind>& of_stages) {
    std::vector<NodeKind> kinds;
    for (const NodeKind& kind : of_stages) {
        if (std::ranges::find(kinds, kind) == kinds.end()) kinds.push_back(kind);
    }
    const auto any = std::ranges::find(kinds, NodeKind{});
    if (any != kinds.end()) std::rotate(kinds.begin(), any, any + 1);
    return kinds;
}

}  // namespace

std::string kind_words(const NodeKind& kind) {
    std::string words;
    if (!kind.constraint.empty()) words = "constraint " + kind.constraint;
    if (!kind.partition.empty()) words += (words.empty() ? "" : ", ") + std::string{"partition "} + kind.partition;
    return words.empty() ? "any" : words;
}

std::vector<RanksOfKind> parts_by_kind(const Plan& plan) {
    const std::vector<NodeKind> kinds = kinds_of_stages(plan);
    std::vector<RanksOfKind> parts;
    for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
        if (parts.empty() || parts.back().kind != kinds[stage]) {
            const bool is_first = parts.empty();
            parts.push_back({.kind = kinds[stage],
                             .first_rank = is_first ? 0 : plan.stages[stage].first_rank,
                             .ranks = is_first ? 1U : 0U});
        }
        parts.back().ranks += static_cast<std::uint32_t>(plan.stages[stage].instances);
        parts.back().stages.push_back(static_cast<std::uint16_t>(stage));
    }
    return parts;
}

void group_by_kind(Plan& plan) {
    const std::vector<NodeKind> of_stages = kinds_of_stages(plan);
    const std::vector<NodeKind> kinds = different_kinds(of_stages);
    if (kinds.size() < 2) return;
    std::vector<std::uint16_t> order(plan.stages.size());
    std::iota(order.begin(), order.end(), std::uint16_t{0});
    std::ranges::stable_sort(
        order, {}, [&](std::uint16_t stage) { return std::ranges::find(kinds, of_stages[stage]) - kinds.begin(); });
    std::vector<std::uint16_t> places(order.size());
    std::vector<PlannedStage> stages;
    for (std::size_t place = 0; place < order.size(); ++place) {
        places[order[place]] = static_cast<std::uint16_t>(place);
        stages.push_back(plan.stages[order[place]]);
    }
    plan.stages = std::move(stages);
    for (PlannedChannel& channel : plan.channels) {
        channel.from = places[channel.from];
        channel.to = places[channel.to];
    }
}

}  // namespace penstock
