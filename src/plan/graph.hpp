#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace penstock {

/// A channel as the graph sees it.
struct Edge {
    std::uint16_t from;
    std::uint16_t to;
};

/// Directed graph over nodes 0..nodes-1.
class Graph {
public:
    Graph(std::size_t nodes, std::span<const Edge> edges);

    [[nodiscard]] std::size_t size() const noexcept { return next_.size(); }
    [[nodiscard]] const std::vector<std::uint16_t>& next(std::size_t node) const noexcept { return next_[node]; }

    /// Cycles that have no node in common, each from its first node on and without repeating it. Empty for a DAG, not
    /// empty for anything else.
    [[nodiscard]] std::vector<std::vector<std::uint16_t>> cycles() const;
    /// Which nodes can be reached from the roots, the roots included.
    [[nodiscard]] std::vector<bool> reachable_from(std::span<const std::uint16_t> roots) const;
    /// Every node after all that lead to it; nodes that are free to go keep their numerical order.
    /// REQUIRES: no cycles.
    [[nodiscard]] std::vector<std::uint16_t> topological_order() const;

private:
    std::vector<std::vector<std::uint16_t>> next_;
};

}  // namespace penstock
