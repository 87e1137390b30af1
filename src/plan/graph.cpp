#include "plan/graph.hpp"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

namespace penstock {
namespace {

using Nodes = std::vector<std::uint16_t>;

/// Depth-first search without recursion: hostile graphs are deep.
class CycleSearch {
public:
    explicit CycleSearch(const Graph& graph)
        : graph_{graph}, states_(graph.size(), State::fresh), in_cycle_(graph.size(), false) {}

    std::vector<Nodes> run() {
        for (std::size_t node = 0; node < graph_.size(); ++node) {
            if (states_[node] == State::fresh) visit(static_cast<std::uint16_t>(node));
        }
        return std::move(cycles_);
    }

private:
    enum class State : std::uint8_t { fresh, open, done };
    struct Step {
        std::uint16_t node;
        std::size_t next;
    };

    void visit(std::uint16_t root) {
        enter(root);
        while (!path_.empty()) {
            auto& [node, next] = path_.back();
            if (next == graph_.next(node).size()) {
                states_[node] = State::done;
                path_.pop_back();
                continue;
            }
            const auto target = graph_.next(node)[next++];
            if (states_[target] == State::fresh) {
                enter(target);
            } else if (states_[target] == State::open) {
                keep_cycle(target);
            }
        }
    }

    void enter(std::uint16_t node) {
        states_[node] = State::open;
        path_.push_back({.node = node, .next = 0});
    }

    void keep_cycle(std::uint16_t start) {
        const auto first = std::ranges::find(path_, start, &Step::node);
        if (std::any_of(first, path_.end(), [this](const Step& step) { return in_cycle_[step.node]; })) return;
        auto& cycle = cycles_.emplace_back();
        for (auto step = first; step != path_.end(); ++step) {
            cycle.push_back(step->node);
            in_cycle_[step->node] = true;
        }
    }

    const Graph& graph_;
    std::vector<State> states_;
    std::vector<bool> in_cycle_;
    std::vector<Step> path_;
    std::vector<Nodes> cycles_;
};

}  // namespace

Graph::Graph(std::size_t nodes, std::span<const Edge> edges) : next_(nodes) {
    for (const auto& [from, to] : edges) next_[from].push_back(to);
}

std::vector<Nodes> Graph::cycles() const {
    return CycleSearch{*this}.run();
}

std::vector<bool> Graph::reachable_from(std::span<const std::uint16_t> roots) const {
    std::vector<bool> reached(size(), false);
    Nodes open{roots.begin(), roots.end()};
    for (const auto root : roots) reached[root] = true;
    while (!open.empty()) {
        const auto node = open.back();
        open.pop_back();
        for (const auto target : next_[node]) {
            if (reached[target]) continue;
            reached[target] = true;
            open.push_back(target);
        }
    }
    return reached;
}

Nodes Graph::topological_order() const {
    std::vector<std::size_t> waits_for(size(), 0);
    for (const auto& targets : next_) {
        for (const auto target : targets) ++waits_for[target];
    }
    std::priority_queue<std::uint16_t, Nodes, std::greater<>> ready;
    for (std::size_t node = 0; node < size(); ++node) {
        if (waits_for[node] == 0) ready.push(static_cast<std::uint16_t>(node));
    }
    Nodes order;
    while (!ready.empty()) {
        order.push_back(ready.top());
        ready.pop();
        for (const auto target : next_[order.back()]) {
            if (--waits_for[target] == 0) ready.push(target);
        }
    }
    return order;
}

}  // namespace penstock
