#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "base/format.hpp"
#include "report/charts.hpp"
#include "report/html.hpp"

namespace penstock::report {
namespace {

constexpr std::size_t most_stages = 100;
constexpr std::size_t most_channels = 300;
constexpr int box_width = 150;
constexpr int box_height = 46;
constexpr int column_width = 300;
constexpr int row_height = 78;
constexpr int margin = 12;

struct Box {
    int column = 0;
    int row = 0;

    [[nodiscard]] int left() const noexcept { return margin + column * column_width; }
    [[nodiscard]] int top() const noexcept { return margin + row * row_height; }
    [[nodiscard]] int middle() const noexcept { return top() + box_height / 2; }
};

struct Edge {
    std::size_t from;
    std::size_t to;
    const ChannelFigures* channel;
};

[[nodiscard]] std::vector<Edge> edges_of(const RunReport& report) {
    std::unordered_map<std::string_view, std::size_t> by_name;
    for (std::size_t i = 0; i < report.stages.size(); ++i) by_name.emplace(report.stages[i].name, i);
    std::vector<Edge> edges;
    for (const ChannelFigures& channel : report.channels) {
        const auto from = by_name.find(channel.from);
        const auto to = by_name.find(channel.to);
        if (from != by_name.end() && to != by_name.end()) edges.push_back({from->second, to->second, &channel});
    }
    return edges;
}

/// Each stage right of all that feed it; in a file that is broken there may be a cycle.
[[nodiscard]] std::vector<Box> places_of(std::size_t stages, const std::vector<Edge>& edges) {
    std::vector<Box> boxes(stages);
    for (std::size_t round = 0; round < stages; ++round) {
        bool is_settled = true;
        for (const Edge& edge : edges) {
            if (edge.from == edge.to || boxes[edge.to].column > boxes[edge.from].column) continue;
            boxes[edge.to].column = std::min(boxes[edge.from].column + 1, static_cast<int>(stages) - 1);
            is_settled = false;
        }
        if (is_settled) break;
    }
    std::vector<int> used(stages, 0);
    for (Box& box : boxes) box.row = used[static_cast<std::size_t>(box.column)]++;
    return boxes;
}

[[nodiscard]] std::string box_svg(const StageFigures& stage, const Box& box) {
    const std::string name =
        shortened(stage.name, 16) + (stage.instances > 1 ? fmt::format(" \xC3\x97{}", stage.instances) : "");
    return fmt::format(
        "<g><title>{}</title><rect class=\"stage {}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"5\"/>"
        "<text class=\"name\" x=\"{}\" y=\"{}\">{}</text><text class=\"small\" x=\"{}\" y=\"{}\">{}</text></g>\n",
        escaped(stage.name + ": " + stage.operator_name),
        stage.kind == "source" || stage.kind == "sink" ? stage.kind : "processor", box.left(), box.top(), box_width,
        box_height, box.left() + box_width / 2, box.top() + 20, escaped(name), box.left() + box_width / 2,
        box.top() + 36, escaped(shortened(stage.operator_name, 22)));
}

[[nodiscard]] std::string edge_svg(const Edge& edge, const Box& from, const Box& to) {
    const int start = from.left() + box_width;
    const int end = to.left();
    const int bend = (end - start) / 2;
    const int label_x = (start + end) / 2;
    const int label_y = (from.middle() + to.middle()) / 2 - 5;
    const ChannelFigures& channel = *edge.channel;
    std::string about = channel.name;
    for (const auto& [key, value] : channel.settings) about += "\n" + key + ": " + value;
    return fmt::format(
        "<g><title>{}</title><path class=\"edge{}\" marker-end=\"url(#tip)\" d=\"M{} {}C{} {} {} {} {} {}\"/>"
        "<text class=\"small\" x=\"{}\" y=\"{}\">{}</text></g>\n",
        escaped(about), channel.dropped > 0 ? " lossy" : "", start, from.middle(), start + bend, from.middle(),
        end - bend, to.middle(), end - 7, to.middle(), label_x, label_y,
        escaped(fmt::format("{} \xC2\xB7 {}", channel.delivered, format_bytes(channel.bytes))));
}

}  // namespace

std::string draw_graph(const RunReport& report) {
    if (report.stages.empty()) return "";
    if (report.stages.size() > most_stages || report.channels.size() > most_channels)
        return "<p>The graph is too large to be drawn; its channels are in the table below.</p>\n";
    const auto edges = edges_of(report);
    const auto boxes = places_of(report.stages.size(), edges);
    int columns = 0;
    int rows = 0;
    for (const Box& box : boxes) {
        columns = std::max(columns, box.column);
        rows = std::max(rows, box.row);
    }
    const int width = 2 * margin + columns * column_width + box_width;
    const int height = 2 * margin + rows * row_height + box_height;
    std::string svg = fmt::format(
        "<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"stages and channels\">"
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"2\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" "
        "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>\n",
        width, height);
    for (const Edge& edge : edges) svg += edge_svg(edge, boxes[edge.from], boxes[edge.to]);
    for (std::size_t i = 0; i < boxes.size(); ++i) svg += box_svg(report.stages[i], boxes[i]);
    return svg + "</svg>\n";
}

}  // namespace penstock::report
