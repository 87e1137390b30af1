#include <algorithm>
#include <memory>
#include <utility>

#include <penstock/graph.hpp>

namespace penstock {
namespace {

class FunctionProcessor final : public Processor {
public:
    explicit FunctionProcessor(Graph::Function function) : function_{std::move(function)} {}
    void process(const Payload& in, Output& out) override { function_(in, out); }

private:
    Graph::Function function_;
};

}  // namespace

Graph::Graph(std::string name, Registry registry) : registry_{std::move(registry)} {
    spec_.name = std::move(name);
}

Graph& Graph::node(std::string name, std::string operator_name, Params params, int instances) {
    return node(StageSpec{.name = std::move(name),
                          .operator_name = std::move(operator_name),
                          .params = std::move(params),
                          .instances = instances});
}

Graph& Graph::node(std::string name, Function function, int instances) {
    registry_.add({.name = name, .kind = OperatorKind::processor, .help = "A function of the program."},
                  [held = std::move(function)](const Params&, StageContext&) -> Operator {
                      return std::make_unique<FunctionProcessor>(held);
                  });
    std::string operator_name = name;
    return node(std::move(name), std::move(operator_name), Params{}, instances);
}

Graph& Graph::node(StageSpec stage) {
    spec_.stages.push_back(std::move(stage));
    return *this;
}

Graph& Graph::edge(std::string name, std::string driver, std::string load) {
    return edge(ChannelSpec{.name = std::move(name), .from = std::move(driver), .to = std::move(load)});
}

Graph& Graph::edge(ChannelSpec channel) {
    if (channel.from.empty()) channel.from = start;
    if (channel.to.empty()) channel.to = done;
    spec_.channels.push_back(std::move(channel));
    return *this;
}

PipelineSpec Graph::spec() const {
    PipelineSpec whole = spec_;
    const auto& channels = whole.channels;
    const auto add = [&](std::string_view end) {
        whole.stages.push_back({.name = std::string{end}, .operator_name = std::string{end}});
    };
    if (std::ranges::any_of(channels, [](const ChannelSpec& channel) { return channel.from == start; })) add(start);
    if (std::ranges::any_of(channels, [](const ChannelSpec& channel) { return channel.to == done; })) add(done);
    return whole;
}

}  // namespace penstock
