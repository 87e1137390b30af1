#include "plan/draw.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/quote.hpp"
#include "plan/describe.hpp"
#include "plan/graph.hpp"
#include "plan/phases.hpp"

namespace penstock {
namespace {

constexpr std::size_t max_drawn_channels = 200;
constexpr std::size_t lane_width = 3;

std::string title(const PlannedStage& stage) {
    std::string text = stage.name;
    if (stage.instances > 1) text += " x" + std::to_string(stage.instances);
    return text;
}

/// The route, and the mode where it is not the usual one.
std::string edge_text(const PlannedChannel& channel) {
    const bool usual = channel.dispatch != Dispatch::central && channel.by == PassBy::reference;
    std::string text = usual ? route_text(channel) : route_text(channel) + ", " + dispatch_text(channel);
    if (const auto blobs = blob_text(channel); !blobs.empty()) text.append(", ").append(blobs);
    return text;
}

std::vector<std::uint16_t> drawing_order(const Plan& plan) {
    std::vector<Edge> edges;
    for (const auto& channel : plan.channels) edges.push_back({.from = channel.from, .to = channel.to});
    return Graph{plan.stages.size(), edges}.topological_order();
}

/// Draws line by line. Every channel has a lane, a vertical line, from the stage that feeds it to the one it feeds.
class Drawing {
public:
    explicit Drawing(const Plan& plan) : plan_{plan}, order_{drawing_order(plan)}, lane_of_(plan.channels.size(), 0) {
        rows_.resize(plan.stages.size());
        for (std::size_t row = 0; row < order_.size(); ++row) rows_[order_[row]] = row;
        for (const auto& stage : plan.stages) widen(stage_label(stage));
        for (const auto& channel : plan.channels) widen(input_label(channel));
    }

    std::string run() {
        for (const auto number : order_) {
            if (!text_.empty()) line("", std::nullopt);
            const auto& stage = plan_.stages[number];
            line(stage_label(stage), std::nullopt);
            for (const auto channel : by_lane(stage.inputs)) draw_input(channel);
            if (!stage.outputs.empty()) draw_outputs(stage.outputs);
        }
        return std::move(text_);
    }

private:
    enum class Lane : std::uint8_t { free, through, corner };

    static std::string stage_label(const PlannedStage& stage) {
        return title(stage) + " (" + stage.operator_name + ')';
    }
    [[nodiscard]] std::string input_label(const PlannedChannel& channel) const {
        return "  <-- " + plan_.stages[channel.from].name + ", " + edge_text(channel) + ' ';
    }
    void widen(const std::string& label) { width_ = std::max(width_, label.size() + 2); }

    [[nodiscard]] std::vector<std::uint16_t> by_lane(std::vector<std::uint16_t> channels) const {
        std::ranges::sort(channels, {}, [this](std::uint16_t channel) { return lane_of_[channel]; });
        return channels;
    }

    void draw_input(std::uint16_t channel) {
        const auto lane = lane_of_[channel];
        lanes_[lane] = Lane::corner;
        line(input_label(plan_.channels[channel]), lane);
        lanes_[lane] = Lane::free;
    }

    /// The channel that ends first gets the innermost free lane: fewest crossings.
    void draw_outputs(std::vector<std::uint16_t> channels) {
        std::ranges::stable_sort(channels, {},
                                 [this](std::uint16_t channel) { return rows_[plan_.channels[channel].to]; });
        std::size_t last = 0;
        for (const auto channel : channels) {
            const auto found = std::ranges::find(lanes_, Lane::free);
            const auto lane = static_cast<std::size_t>(found - lanes_.begin());
            if (found == lanes_.end()) lanes_.push_back(Lane::free);
            lanes_[lane] = Lane::corner;
            lane_of_[channel] = lane;
            last = std::max(last, lane);
        }
        line("  --", last);
        for (const auto channel : channels) lanes_[lane_of_[channel]] = Lane::through;
    }

    /// One line: the label, then the lanes; joined by dashes up to lane `reach`.
    void line(std::string text, std::optional<std::size_t> reach) {
        text.resize(width_, reach ? '-' : ' ');
        for (std::size_t lane = 0; lane < lanes_.size(); ++lane) {
            const bool joined = reach && lane <= *reach;
            const char empty = joined ? '-' : ' ';
            const char mark = lanes_[lane] == Lane::corner ? '+' : lanes_[lane] == Lane::through ? '|' : empty;
            text += mark;
            text.append(lane_width - 1, reach && lane < *reach ? '-' : ' ');
        }
        text.erase(text.find_last_not_of(' ') + 1);
        text_.append(text).append("\n");
    }

    const Plan& plan_;
    std::vector<std::uint16_t> order_;
    std::vector<std::size_t> rows_;     // by stage
    std::vector<std::size_t> lane_of_;  // by channel
    std::vector<Lane> lanes_;
    std::size_t width_ = 0;
    std::string text_;
};

std::string list_channels(const Plan& plan) {
    std::string text;
    for (const auto& channel : plan.channels) {
        text += title(plan.stages[channel.from]) + " -> " + title(plan.stages[channel.to]) + "  " + edge_text(channel) +
                '\n';
    }
    return text;
}

std::string_view dot_shape(OperatorKind kind) noexcept {
    switch (kind) {
        case OperatorKind::source: return "cds";
        case OperatorKind::processor: return "box";
        case OperatorKind::sink: return "cylinder";
    }
    return "box";
}

/// @param indent  Before each line.
std::string dot_body(const Plan& plan, const std::string& indent) {
    std::string text;
    for (const auto& stage : plan.stages) {
        text += indent + "\"" + stage.name + "\" [shape=" + std::string{dot_shape(stage.kind)} + ", label=\"" +
                title(stage) + "\\n" + stage.operator_name + "\"];\n";
    }
    for (const auto& channel : plan.channels) {
        text += indent + "\"" + plan.stages[channel.from].name + "\" -> \"" + plan.stages[channel.to].name +
                "\" [label=" + in_quotes(edge_text(channel)) + "];\n";
    }
    return text;
}

std::string dot_head(const std::string& pipeline) {
    return "digraph " + in_quotes(pipeline) + " {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n" +
           "  edge [fontname=\"sans-serif\", fontsize=10];\n";
}

std::string cluster(const std::string& phase) {
    return "\"cluster_" + phase + '"';
}

}  // namespace

std::string draw_ascii(const Plan& plan) {
    return plan.channels.size() > max_drawn_channels ? list_channels(plan) : Drawing{plan}.run();
}

std::string draw_dot(const Plan& plan) {
    return dot_head(plan.pipeline) + dot_body(plan, "  ") + "}\n";
}

std::string draw_ascii(const Chain& chain) {
    std::string text;
    for (const Plan& plan : chain.phases) {
        if (plan.phase) text += (text.empty() ? "" : "\n") + phase_line(plan) + "\n\n";
        text += draw_ascii(plan);
    }
    return text;
}

std::string draw_dot(const Chain& chain) {
    if (chain.phases.size() == 1) return draw_dot(chain.phases.front());
    std::string text = dot_head(chain.pipeline) + "  compound=true;\n";
    for (const Plan& plan : chain.phases) {
        text += "  subgraph " + cluster(plan.phase->name) + " {\n    label=" + in_quotes(phase_words(plan)) + ";\n" +
                dot_body(plan, "    ") + "  }\n";
    }
    for (const Plan& plan : chain.phases) {
        // Between two stages in the language, drawn between the boxes.
        for (const std::string& before : plan.phase->after) {
            text += "  \"" + chain.phase_of(before).stages.back().name + "\" -> \"" + plan.stages.front().name +
                    "\" [style=dashed, ltail=" + cluster(before) + ", lhead=" + cluster(plan.phase->name) + "];\n";
        }
    }
    return text + "}\n";
}

}  // namespace penstock
