#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <penstock/plan.hpp>

namespace penstock {

/// Nodes that a stage asks for, as options of sbatch. Both empty: any nodes.
struct NodeKind {
    std::string constraint = {};
    std::string partition = {};
    friend bool operator==(const NodeKind&, const NodeKind&) = default;
};

/// "constraint gpu, partition accel"; "any" where nothing is said.
[[nodiscard]] std::string kind_words(const NodeKind& kind);

/// Ranks in a row that are to be on one kind of nodes.
struct RanksOfKind {
    NodeKind kind = {};
    std::uint32_t first_rank = 0;
    std::uint32_t ranks = 0;
    std::vector<std::uint16_t> stages = {};
};

/// All ranks of the plan by kind of nodes, in the order of the ranks: the coordinator is in the first part.
[[nodiscard]] std::vector<RanksOfKind> parts_by_kind(const Plan& plan);

/// Brings the stages of each kind together: first those of the coordinator's kind, then the others as they come. It is
/// on any node where a stage is, else where the first stage is. What was in order stays in order. REQUIRES: stages with
/// "with" are with stages that exist, and not in a circle.
void group_by_kind(Plan& plan);

}  // namespace penstock
