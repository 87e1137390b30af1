#include "http/metrics.hpp"

#include <iterator>
#include <string_view>

#include <fmt/format.h>

namespace penstock {
namespace {

/// A label's value: backslash, quote and newline are the three characters the format escapes.
std::string escaped(std::string_view text) {
    std::string result;
    result.reserve(text.size());
    for (const char c : text) {
        if (c == '\n') {
            result += "\\n";
            continue;
        }
        if (c == '\\' || c == '"') result += '\\';
        result += c;
    }
    return result;
}

struct Family {
    std::string_view name;
    std::string_view type;
    std::string_view help;
    std::string_view label;
};

/// One family: its two comment lines, then a line for each row.
template <class Rows, class Label, class Value>
void append(std::string& text, const Family& family, const Rows& rows, Label label, Value value) {
    if (rows.empty()) return;
    auto out = std::back_inserter(text);
    fmt::format_to(out, "# HELP {} {}\n# TYPE {} {}\n", family.name, family.help, family.name, family.type);
    for (const auto& row : rows) {
        fmt::format_to(out, "{}{{{}=\"{}\"}} {}\n", family.name, family.label, escaped(row.*label), row.*value);
    }
}

}  // namespace

std::string prometheus_text(const Metrics& metrics) {
    std::string text;
    const auto node = [&](std::string_view name, std::string_view help, auto value) {
        append(text, {name, "gauge", help, "node"}, metrics.nodes, &NodeMetrics::node, value);
    };
    const auto channel = [&](std::string_view name, std::string_view help, auto value) {
        append(text, {name, "counter", help, "channel"}, metrics.channels, &ChannelMetrics::channel, value);
    };

    node("sabot_processing_throughput_items_per_second", "Payloads processed per second.",
         &NodeMetrics::items_per_second);
    node("sabot_queue_depth", "Payloads waiting for the operator.", &NodeMetrics::queue_depth);
    node("sabot_worker_utilization_percent", "Time spent in the operator.", &NodeMetrics::utilization_percent);
    channel("penstock_sent_payloads_total", "Payloads sent.", &ChannelMetrics::sent_payloads);
    channel("penstock_sent_bytes_total", "Bytes of the payloads sent.", &ChannelMetrics::sent_bytes);
    channel("penstock_settled_payloads_total", "Payloads settled by their consumers.",
            &ChannelMetrics::settled_payloads);
    channel("penstock_dropped_payloads_total", "Payloads dropped by the overflow policy.",
            &ChannelMetrics::dropped_payloads);
    return text;
}

}  // namespace penstock
