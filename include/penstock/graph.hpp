#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <penstock/operator.hpp>
#include <penstock/spec.hpp>

namespace penstock {

/// A pipeline written in code, with two open ends: where calls come in, and where their answers go out.
///
///     Graph graph{"my_graph"};
///     graph.node("prep", "image_preprocess", params);
///     graph.node("post", [](const Payload& in, Output& out) { ... });
///     graph.edge("START", {}, "prep");
///     graph.edge("post", "prep", "post");
///     graph.edge("DONE", "post", {});
///
/// A node may have any number of inputs and outputs, and so may the graph. A value.
class Graph {
public:
    using Function = std::function<void(const Payload& in, Output& out)>;

    /// The stages that stand for the open ends, in messages and in the run directory.
    static constexpr std::string_view start = "START";
    static constexpr std::string_view done = "DONE";

    /// @param registry  What nodes can run.
    explicit Graph(std::string name, Registry registry = Registry::with_builtins());

    /// A node that runs a registered operator.
    Graph& node(std::string name, std::string operator_name, Params params = {}, int instances = 1);
    /// A node that runs a function on each payload: a processor, registered under the node's name. Each instance has a
    /// copy of its own, in a process of its own.
    /// @throws Error{invalid_input} if there is an operator of that name.
    Graph& node(std::string name, Function function, int instances = 1);
    Graph& node(StageSpec stage);

    /// The channel of exactly that name. No driver: the graph is called through it. No load: answers leave through it.
    Graph& edge(std::string name, std::string driver, std::string load);
    /// The same with everything a channel may have; no `from` and no `to` stand for the open ends.
    Graph& edge(ChannelSpec channel);

    [[nodiscard]] const std::string& name() const noexcept { return spec_.name; }
    [[nodiscard]] Registry& registry() noexcept { return registry_; }
    [[nodiscard]] const Registry& registry() const noexcept { return registry_; }
    /// With the stages START and DONE, as far as there are open ends; they run the operators of these names.
    [[nodiscard]] PipelineSpec spec() const;

private:
    PipelineSpec spec_;
    Registry registry_;
};

}  // namespace penstock
