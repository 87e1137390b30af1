#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <set>

#include <fmt/format.h>

#include "base/format.hpp"
#include "base/time_text.hpp"
#include "report/charts.hpp"
#include "report/html.hpp"

namespace penstock::report {
namespace {

constexpr std::size_t most_rows = 40;  // of a timeline; more processes are shown by stage
constexpr int label_width = 150;
constexpr int chart_width = 640;
constexpr int row_height = 18;

[[nodiscard]] std::string svg_start(int height, std::string_view label) {
    return fmt::format("<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"{2}\">\n",
                       label_width + chart_width + 90, height, escaped(label));
}

[[nodiscard]] std::string row_label(std::string_view label, std::size_t row) {
    return fmt::format("<text class=\"row\" x=\"{}\" y=\"{}\">{}</text>", label_width - 8, row * row_height + 13,
                       escaped(shortened(label, 22)));
}

struct Row {
    std::string label;
    std::int64_t first_ns = 0;
    std::int64_t last_ns = 0;
};

void widen(Row& row, const LogFigures& log) noexcept {
    row.first_ns = row.first_ns == 0 ? log.first_ns : std::min(row.first_ns, log.first_ns);
    row.last_ns = std::max(row.last_ns, log.last_ns);
}

[[nodiscard]] std::string_view stage_of(std::string_view label) noexcept {
    return label.substr(0, label.rfind('.'));
}

/// A row for each process; where they are many, for each stage; in the order in which they began.
[[nodiscard]] std::vector<Row> rows_of(const RunReport& report, bool by_stage) {
    std::vector<Row> rows;
    std::map<std::string, std::size_t, std::less<>> places;
    for (const LogFigures& log : report.logs) {
        if (log.first_ns == 0) continue;
        const std::string label{by_stage ? stage_of(log.label) : std::string_view{log.label}};
        const auto [at, is_new] = places.emplace(label, rows.size());
        if (is_new) rows.push_back({.label = label});
        widen(rows[at->second], log);
    }
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.first_ns < b.first_ns; });
    return rows;
}

class Timeline {
public:
    explicit Timeline(const RunReport& report) : report_{report} {
        const auto processes = static_cast<std::size_t>(std::count_if(
            report.logs.begin(), report.logs.end(), [](const LogFigures& log) { return log.first_ns != 0; }));
        by_stage_ = processes > most_rows;
        rows_ = rows_of(report, by_stage_);
        if (rows_.size() > most_rows) rows_.resize(most_rows);
        for (const Row& row : rows_) {
            start_ns_ = start_ns_ == 0 ? row.first_ns : std::min(start_ns_, row.first_ns);
            end_ns_ = std::max(end_ns_, row.last_ns);
        }
    }

    [[nodiscard]] std::string draw() const {
        if (rows_.empty()) return "";
        std::string svg = svg_start(static_cast<int>(rows_.size() + 2) * row_height, "timeline");
        for (std::size_t i = 0; i < rows_.size(); ++i) svg += bar(rows_[i], i);
        svg += marks() + axis();
        return svg + "</svg>\n";
    }

private:
    [[nodiscard]] double x_of(std::int64_t ns) const noexcept {
        const double span = std::max(static_cast<double>(end_ns_) - static_cast<double>(start_ns_), 1.0);
        const double share = (static_cast<double>(ns) - static_cast<double>(start_ns_)) / span;
        return label_width + std::clamp(share, 0.0, 1.0) * chart_width;
    }

    [[nodiscard]] std::string bar(const Row& row, std::size_t i) const {
        const double x = x_of(row.first_ns);
        return row_label(row.label, i) +
               fmt::format(
                   "<rect class=\"span\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"><title>{} to "
                   "{}</title></rect>\n",
                   x, i * row_height + 4, std::max(x_of(row.last_ns) - x, 1.0), row_height - 8, time_text(row.first_ns),
                   time_text(row.last_ns));
    }

    /// One for each place that can be told from the next; errors lie on top.
    [[nodiscard]] std::string marks() const {
        std::string svg;
        std::set<std::tuple<bool, std::size_t, int>> drawn;
        for (const bool is_error : {false, true}) {
            for (const LogMessage& message : report_.messages) {
                if (message.is_error != is_error || message.time_ns == 0) continue;
                const std::string_view label = by_stage_ ? stage_of(message.label) : std::string_view{message.label};
                const auto row =
                    std::find_if(rows_.begin(), rows_.end(), [&](const Row& each) { return each.label == label; });
                if (row == rows_.end()) continue;
                const auto i = static_cast<std::size_t>(row - rows_.begin());
                const double x = x_of(message.time_ns);
                if (!drawn.emplace(is_error, i, static_cast<int>(x)).second) continue;
                svg += fmt::format(
                    "<rect class=\"{}\" x=\"{:.1f}\" y=\"{}\" width=\"3\" height=\"{}\"><title>{}"
                    "</title></rect>\n",
                    is_error ? "error" : "warn", x - 1.5, i * row_height + 2, row_height - 4,
                    escaped(shortened(message.text, 200)));
            }
        }
        return svg;
    }

    [[nodiscard]] std::string axis() const {
        const auto y = rows_.size() * row_height + 16;
        std::string svg;
        for (const int quarter : {0, 1, 2, 3, 4}) {
            const std::int64_t after_ns = (end_ns_ - start_ns_) / 4 * quarter;
            svg += fmt::format("<text class=\"small\" x=\"{}\" y=\"{}\">{}</text>",
                               label_width + chart_width / 4 * quarter, y,
                               format_duration(std::chrono::nanoseconds{after_ns}));
        }
        return svg + "\n";
    }

    const RunReport& report_;
    bool by_stage_ = false;
    std::vector<Row> rows_;
    std::int64_t start_ns_ = 0;
    std::int64_t end_ns_ = 0;
};

[[nodiscard]] std::string microseconds_text(double us) {
    return format_duration(std::chrono::nanoseconds{static_cast<std::int64_t>(std::min(us, 1e15) * 1e3)});
}

}  // namespace

std::string draw_timeline(const RunReport& report) {
    return Timeline{report}.draw();
}

std::string draw_times(const RunReport& report) {
    std::string rows;
    std::size_t row = 0;
    for (const StageFigures& stage : report.stages) {
        const double sum = std::accumulate(stage.time_s.begin(), stage.time_s.end(), 0.0);
        if (sum <= 0 || row == most_rows) continue;
        rows += row_label(stage.name, row);
        double x = label_width;
        for (std::size_t cause = 0; cause < time_causes.size(); ++cause) {
            const double width = stage.time_s[cause] / sum * chart_width;
            if (width < 0.05) continue;
            rows += fmt::format(
                "<rect class=\"c{}\" x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\"><title>{}: "
                "{:.3g} s, {:.1f} %</title></rect>",
                cause, x, row * row_height + 3, width, row_height - 6, time_causes[cause], stage.time_s[cause],
                stage.time_s[cause] / sum * 100);
            x += width;
        }
        rows += "\n";
        ++row;
    }
    if (row == 0) return "";
    std::string svg = svg_start(static_cast<int>(row + 1) * row_height + 8, "where the time went") + rows;
    for (std::size_t cause = 0; cause < time_causes.size(); ++cause) {
        const auto x = label_width + static_cast<int>(cause) * 95;
        const auto y = row * row_height + 8;
        svg += fmt::format(
            "<rect class=\"c{}\" x=\"{}\" y=\"{}\" width=\"10\" height=\"10\"/><text class=\"key\" "
            "x=\"{}\" y=\"{}\">{}</text>",
            cause, x, y, x + 14, y + 9, time_causes[cause]);
    }
    return svg + "</svg>\n";
}

std::string draw_histogram(const LatencyFigures& latency) {
    // Counts are "at most": each bar is what came with its bound.
    std::vector<std::pair<double, double>> bars;
    std::uint64_t before = 0;
    for (const auto& [bound, at_most] : latency.at_most) {
        const double own = at_most > before ? static_cast<double>(at_most - before) : 0;
        before = std::max(before, at_most);
        if (own > 0 || !bars.empty()) bars.emplace_back(bound, own);
    }
    while (!bars.empty() && bars.back().second <= 0) bars.pop_back();
    if (bars.empty() || bars.size() > 200) return "";
    const double most =
        std::max_element(bars.begin(), bars.end(), [](auto& a, auto& b) { return a.second < b.second; })->second;
    constexpr int height = 120;
    constexpr int bar_width = 52;
    std::string svg = fmt::format(
        "<svg viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" aria-label=\"latencies\">\n",
        static_cast<int>(bars.size()) * bar_width + 10, height + 36);
    for (std::size_t i = 0; i < bars.size(); ++i) {
        const auto& [bound, own] = bars[i];
        const double tall = own > 0 ? std::max(own / most * height, 1.0) : 0;
        const int x = static_cast<int>(i) * bar_width + 5;
        svg += fmt::format(
            "<rect class=\"span\" x=\"{}\" y=\"{:.1f}\" width=\"{}\" height=\"{:.1f}\"><title>{:.0f} up to "
            "{}</title></rect><text class=\"small\" x=\"{}\" y=\"{}\">{}</text>\n",
            x, height + 14 - tall, bar_width - 4, tall, own, microseconds_text(bound), x + bar_width / 2 - 2,
            height + 30, microseconds_text(bound));
    }
    return svg + "</svg>\n";
}

}  // namespace penstock::report
