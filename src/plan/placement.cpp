#include "plan/placement.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "plan/node_kinds.hpp"

namespace penstock {
namespace {

constexpr std::size_t most_nodes_named = 4;

[[nodiscard]] std::size_t stage_named(const Plan& plan, const std::string& name) {
    const auto found = std::ranges::find(plan.stages, name, &PlannedStage::name);
    return static_cast<std::size_t>(found - plan.stages.begin());
}

[[nodiscard]] std::string counted(std::uint64_t number, const std::string& what) {
    return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

/// An instance brings those along that are to be beside it: its weight is how many ranks that makes.
class Placer {
public:
    Placer(const Plan& plan, std::span<const std::uint32_t> rooms)
        : plan_{plan}, rooms_{rooms}, loads_(rooms.size(), 0), nodes_(plan.ranks(), 0) {
        for (const PlannedStage& stage : plan.stages) {
            const bool follows = stage.placement.rule == PlacementRule::with;
            leaders_.push_back(follows ? stage_named(plan, stage.placement.stage) : none);
            weights_.emplace_back(static_cast<std::size_t>(stage.instances), 1);
        }
        order_stages();
        for (auto at = leaders_first_.rbegin(); at != leaders_first_.rend(); ++at) weigh(*at);
    }

    std::vector<std::uint32_t> run() {
        check_total();
        put_rank(0, first_with_room(1).value_or(0), 1);
        for (const std::size_t stage : with_rule(PlacementRule::per_node)) put_on_each_node(stage);
        for (const std::size_t stage : packed_and_spread()) {
            plan_.stages[stage].placement.rule == PlacementRule::pack ? pack(stage) : spread(stage);
        }
        put_the_rest(with_rule(PlacementRule::by_rank));
        for (const std::size_t stage : leaders_first_) follow(stage);
        return std::move(nodes_);
    }

private:
    static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

    /// Each stage after the one that it is to be with. REQUIRES: those form no cycle.
    void order_stages() {
        std::vector<bool> is_there(plan_.stages.size(), false);
        for (std::size_t first = 0; first < plan_.stages.size(); ++first) {
            std::vector<std::size_t> chain;
            for (std::size_t at = first; at != none && !is_there[at]; at = leaders_[at]) {
                is_there[at] = true;
                chain.push_back(at);
            }
            leaders_first_.insert(leaders_first_.end(), chain.rbegin(), chain.rend());
        }
    }

    void weigh(std::size_t stage) {
        if (leaders_[stage] == none) return;
        auto& of_leader = weights_[leaders_[stage]];
        for (std::size_t i = 0; i < weights_[stage].size(); ++i) of_leader[i % of_leader.size()] += weights_[stage][i];
    }

    [[nodiscard]] std::uint64_t weight_of(std::size_t stage) const {
        return std::accumulate(weights_[stage].begin(), weights_[stage].end(), std::uint64_t{0});
    }

    [[nodiscard]] std::vector<std::size_t> with_rule(PlacementRule rule) const {
        std::vector<std::size_t> stages;
        for (std::size_t i = 0; i < plan_.stages.size(); ++i) {
            if (plan_.stages[i].placement.rule == rule) stages.push_back(i);
        }
        return stages;
    }

    /// First what needs the most room on one node, for which there are the fewest places.
    [[nodiscard]] std::vector<std::size_t> packed_and_spread() const {
        auto stages = with_rule(PlacementRule::pack);
        const auto spread = with_rule(PlacementRule::spread);
        stages.insert(stages.end(), spread.begin(), spread.end());
        std::ranges::stable_sort(stages, std::greater{}, [this](std::size_t stage) {
            const bool is_packed = plan_.stages[stage].placement.rule == PlacementRule::pack;
            return is_packed ? weight_of(stage) : std::ranges::max(weights_[stage]);
        });
        return stages;
    }

    void check_total() const {
        const std::uint64_t room = std::accumulate(rooms_.begin(), rooms_.end(), std::uint64_t{0});
        if (plan_.ranks() <= room) return;
        throw Error{Errc::invalid_input, "pipeline " + in_quotes(plan_.pipeline) + " has " +
                                             counted(plan_.ranks(), "rank") + ", and " +
                                             counted(rooms_.size(), "node") + " with room for " + std::to_string(room) +
                                             " in all; use more nodes, or let each take more ranks"};
    }

    [[nodiscard]] std::uint32_t room_on(std::size_t node) const noexcept { return rooms_[node] - loads_[node]; }

    [[nodiscard]] std::optional<std::size_t> first_with_room(std::uint64_t weight) const {
        for (std::size_t node = 0; node < rooms_.size(); ++node) {
            if (room_on(node) >= weight) return node;
        }
        return std::nullopt;
    }

    void put_rank(std::uint32_t rank, std::size_t node, std::uint64_t weight) {
        nodes_[rank] = static_cast<std::uint32_t>(node);
        loads_[node] += static_cast<std::uint32_t>(weight);
    }

    void put(std::size_t stage, std::size_t instance, std::size_t node) {
        put_rank(plan_.stages[stage].first_rank + static_cast<std::uint32_t>(instance), node,
                 weights_[stage][instance]);
    }

    [[noreturn]] void refuse(std::size_t stage, std::size_t instance, std::uint64_t weight) const {
        const std::string words = placement_words(plan_.stages[stage].placement);
        throw Error{Errc::invalid_input, "no node has room for instance " + std::to_string(instance) + " of stage " +
                                             in_quotes(plan_.stages[stage].name) +
                                             (words.empty() ? "" : ", placed \"" + words + "\",") +
                                             (weight > 1 ? " and what goes with it, " + counted(weight, "rank") : "") +
                                             "; use more nodes, or let each take more ranks"};
    }

    void put_on_each_node(std::size_t stage) {
        const auto per_node = static_cast<std::size_t>(plan_.stages[stage].placement.per_node);
        const std::size_t instances = weights_[stage].size();
        const std::size_t needed = (instances + per_node - 1) / per_node;
        if (needed > rooms_.size()) {
            throw Error{Errc::invalid_input, "stage " + in_quotes(plan_.stages[stage].name) + " has " +
                                                 counted(instances, "instance") + " and is to have " +
                                                 std::to_string(per_node) + " per node, for which it takes " +
                                                 counted(needed, "node") + ", not " + std::to_string(rooms_.size()) +
                                                 "; use more nodes, or raise \"per_node\""};
        }
        std::vector<bool> is_taken(rooms_.size(), false);
        for (std::size_t first = 0; first < instances; first += per_node) {
            const std::size_t end = std::min(first + per_node, instances);
            std::uint64_t weight = 0;
            for (std::size_t i = first; i < end; ++i) weight += weights_[stage][i];
            std::size_t node = 0;
            while (node < rooms_.size() && (is_taken[node] || room_on(node) < weight)) ++node;
            if (node == rooms_.size()) refuse(stage, first, weight);
            for (std::size_t i = first; i < end; ++i) put(stage, i, node);
            is_taken[node] = true;
        }
    }

    void pack(std::size_t stage) {
        const std::size_t instances = weights_[stage].size();
        for (std::size_t instance = 0; instance < instances;) {
            std::size_t node = 0;
            for (std::size_t other = 1; other < rooms_.size(); ++other) {
                if (room_on(other) > room_on(node)) node = other;
            }
            if (room_on(node) < weights_[stage][instance]) refuse(stage, instance, weights_[stage][instance]);
            while (instance < instances && room_on(node) >= weights_[stage][instance]) put(stage, instance++, node);
        }
    }

    void spread(std::size_t stage) {
        std::vector<std::uint32_t> here(rooms_.size(), 0);
        for (std::size_t instance = 0; instance < weights_[stage].size(); ++instance) {
            std::size_t best = none;
            for (std::size_t node = 0; node < rooms_.size(); ++node) {
                if (room_on(node) < weights_[stage][instance]) continue;
                if (best == none || std::pair{here[node], loads_[node]} < std::pair{here[best], loads_[best]}) {
                    best = node;
                }
            }
            if (best == none) refuse(stage, instance, weights_[stage][instance]);
            put(stage, instance, best);
            ++here[best];
        }
    }

    void put_the_rest(const std::vector<std::size_t>& stages) {
        std::uint64_t left = 0;
        for (const std::size_t stage : stages) left += weight_of(stage);
        const std::uint64_t level = even_level(left);
        std::size_t node = 0;
        for (const std::size_t stage : stages) {
            for (std::size_t instance = 0; instance < weights_[stage].size(); ++instance) {
                const std::uint64_t weight = weights_[stage][instance];
                while (node < rooms_.size() && std::min<std::uint64_t>(rooms_[node], level) < loads_[node] + weight)
                    ++node;
                // Where several go together the level may be missed by some.
                const auto at = node < rooms_.size() ? std::optional{node} : first_with_room(weight);
                if (!at) refuse(stage, instance, weight);
                put(stage, instance, *at);
            }
        }
    }

    /// The load up to which nodes are filled when so many ranks come.
    [[nodiscard]] std::uint64_t even_level(std::uint64_t ranks) const {
        const auto takes = [&](std::uint64_t level) {
            std::uint64_t room = 0;
            for (std::size_t node = 0; node < rooms_.size(); ++node) {
                const auto full = std::min<std::uint64_t>(rooms_[node], level);
                room += full > loads_[node] ? full - loads_[node] : 0;
            }
            return room >= ranks;
        };
        std::uint64_t low = 0;
        std::uint64_t high = plan_.ranks();
        while (low < high) {
            const std::uint64_t middle = (low + high) / 2;
            takes(middle) ? high = middle : low = middle + 1;
        }
        return low;
    }

    void follow(std::size_t stage) {
        if (leaders_[stage] == none) return;
        const PlannedStage& leader = plan_.stages[leaders_[stage]];
        for (std::uint32_t i = 0; i < weights_[stage].size(); ++i) {
            nodes_[plan_.stages[stage].first_rank + i] =
                nodes_[leader.first_rank + i % static_cast<std::uint32_t>(leader.instances)];
        }
    }

    const Plan& plan_;
    std::span<const std::uint32_t> rooms_;
    std::vector<std::uint32_t> loads_;
    std::vector<std::uint32_t> nodes_;                 // by rank
    std::vector<std::size_t> leaders_;                 // by stage: the one that it is with
    std::vector<std::size_t> leaders_first_;           // all stages
    std::vector<std::vector<std::uint64_t>> weights_;  // by stage and instance
};

// --- what came of it ---

using NodeCounts = std::map<std::string_view, std::uint32_t>;

[[nodiscard]] NodeCounts count_nodes(std::span<const std::string> nodes) {
    NodeCounts counts;
    for (const std::string& node : nodes) ++counts[node];
    return counts;
}

/// "2 on n1, 1 on n2".
[[nodiscard]] std::string counts_text(const NodeCounts& counts) {
    std::string text;
    std::size_t named = 0;
    for (const auto& [node, count] : counts) {
        if (named++ == most_nodes_named) break;
        text.append(text.empty() ? "" : ", ").append(std::to_string(count)).append(" on ").append(printable(node));
    }
    if (counts.size() > most_nodes_named) {
        text += " and more on " + counted(counts.size() - most_nodes_named, "other node");
    }
    return text;
}

class PlacementCheck {
public:
    PlacementCheck(const Plan& plan, std::span<const std::string> nodes)
        : plan_{plan}, nodes_{nodes}, all_{count_nodes(nodes)} {}

    /// Empty if the stage has what it asks for.
    [[nodiscard]] std::string look_at(const PlannedStage& stage) const {
        const NodeCounts counts = count_nodes(nodes_of(stage));
        const auto least = std::ranges::min_element(counts, {}, &NodeCounts::value_type::second)->second;
        const auto most = std::ranges::max_element(counts, {}, &NodeCounts::value_type::second)->second;
        const auto instances = static_cast<std::uint32_t>(stage.instances);
        switch (stage.placement.rule) {
            case PlacementRule::by_rank: return {};
            case PlacementRule::with: return look_at_follower(stage);
            case PlacementRule::spread:
                if (most - least <= 1 && counts.size() == std::min<std::size_t>(instances, all_.size())) return {};
                break;
            case PlacementRule::pack:
                if (counts.size() <= fewest_nodes(instances)) return {};
                break;
            case PlacementRule::per_node: {
                const auto limit = static_cast<std::uint32_t>(stage.placement.per_node);
                if (most <= limit && counts.size() == (instances + limit - 1) / limit) return {};
                break;
            }
        }
        return said(stage) + counts_text(counts);
    }

private:
    [[nodiscard]] std::span<const std::string> nodes_of(const PlannedStage& stage) const {
        return nodes_.subspan(stage.first_rank, static_cast<std::size_t>(stage.instances));
    }

    [[nodiscard]] static std::string said(const PlannedStage& stage) {
        return "stage " + in_quotes(stage.name) + " is to be placed \"" + placement_words(stage.placement) +
               "\", but has ";
    }

    /// On how many it would have room if it had those with the most ranks to itself.
    [[nodiscard]] std::size_t fewest_nodes(std::uint32_t instances) const {
        std::vector<std::uint32_t> rooms;
        for (const auto& entry : all_) rooms.push_back(entry.second);
        std::ranges::sort(rooms, std::greater{});
        std::size_t needed = 0;
        for (std::uint64_t room = 0; room < instances; ++needed) room += rooms[needed];
        return needed;
    }

    [[nodiscard]] std::string look_at_follower(const PlannedStage& stage) const {
        const PlannedStage& leader = plan_.stages[stage_named(plan_, stage.placement.stage)];
        const auto own = nodes_of(stage);
        const auto others = nodes_of(leader);
        std::size_t apart = 0;
        std::string first;
        for (std::size_t i = 0; i < own.size(); ++i) {
            const std::size_t other = i % others.size();
            if (own[i] == others[other] || apart++ > 0) continue;
            first = "instance " + std::to_string(i) + " on " + printable(own[i]) + " and " + leader.name + "." +
                    std::to_string(other) + " on " + printable(others[other]);
        }
        if (apart == 0) return {};
        return said(stage) + first + (apart > 1 ? ", and " + counted(apart - 1, "other") + " apart" : "");
    }

    const Plan& plan_;
    std::span<const std::string> nodes_;
    NodeCounts all_;
};

}  // namespace

bool asks_for_placement(const Plan& plan) noexcept {
    return std::ranges::any_of(
        plan.stages, [](const PlannedStage& stage) { return stage.placement.rule != PlacementRule::by_rank; });
}

std::string placement_words(const StagePlacement& placement) {
    std::string words;
    switch (placement.rule) {
        case PlacementRule::by_rank: break;
        case PlacementRule::spread: words = "spread"; break;
        case PlacementRule::pack: words = "pack"; break;
        case PlacementRule::with: words = "with " + placement.stage; break;
        case PlacementRule::per_node: words = std::to_string(placement.per_node) + " per node"; break;
    }
    const NodeKind kind{.constraint = placement.constraint, .partition = placement.partition};
    if (kind != NodeKind{}) words += (words.empty() ? "" : ", ") + kind_words(kind);
    return words;
}

std::vector<std::uint32_t> place_ranks(const Plan& plan, std::span<const std::uint32_t> rooms) {
    return Placer{plan, rooms}.run();
}

std::vector<std::string> misplaced_stages(const Plan& plan, std::span<const std::string> nodes) {
    std::vector<std::string> problems;
    const PlacementCheck check{plan, nodes};
    for (const PlannedStage& stage : plan.stages) {
        if (auto problem = check.look_at(stage); !problem.empty()) problems.push_back(std::move(problem));
    }
    return problems;
}

}  // namespace penstock
