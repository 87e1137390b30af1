#include "http/metrics.hpp"

#include <algorithm>
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

void append_head(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

/// One family: its two comment lines, then a line for each row.
template <class Rows, class Label, class Value>
void append(std::string& text, const Family& family, const Rows& rows, Label label, Value value) {
    if (rows.empty()) return;
    append_head(text, family.name, family.type, family.help);
    auto out = std::back_inserter(text);
    for (const auto& row : rows) {
        fmt::format_to(out, "{}{{{}=\"{}\"}} {}\n", family.name, family.label, escaped(row.*label), row.*value);
    }
}

void append_stalls(std::string& text, const std::vector<ChannelMetrics>& channels) {
    if (channels.empty()) return;
    constexpr std::string_view name = "penstock_stalled_seconds_total";
    append_head(text, name, "counter", "Time in which nothing moved, summed over the instances at its ends.");
    for (const ChannelMetrics& channel : channels) {
        for (const auto& cause : channel.stalled_s) {
            fmt::format_to(std::back_inserter(text), "{}{{channel=\"{}\",cause=\"{}\"}} {}\n", name,
                           escaped(channel.channel), escaped(cause.first), cause.second);
        }
    }
}

/// Of the channels that compress.
void append_compression(std::string& text, const std::vector<ChannelMetrics>& all) {
    std::vector<ChannelMetrics> channels;
    std::copy_if(all.begin(), all.end(), std::back_inserter(channels),
                 [](const ChannelMetrics& channel) { return channel.compresses; });
    const auto add = [&](std::string_view name, std::string_view help, auto value) {
        append(text, {name, "counter", help, "channel"}, channels, &ChannelMetrics::channel, value);
    };
    add("penstock_compressed_from_bytes_total", "Bytes of the payloads sent by a channel that compresses.",
        &ChannelMetrics::compressed_from_bytes);
    add("penstock_compressed_to_bytes_total", "What these bytes came to.", &ChannelMetrics::compressed_to_bytes);
    add("penstock_uncompressed_payloads_total", "Payloads that such a channel sent as they are.",
        &ChannelMetrics::raw_payloads);
}

void append_latencies(std::string& text, const std::vector<LatencyMetrics>& latencies) {
    if (latencies.empty()) return;
    constexpr std::string_view name = "penstock_latency_seconds";
    append_head(text, name, "histogram", "From the source of a payload until a sink was done with it.");
    for (const LatencyMetrics& latency : latencies) {
        const std::string stage = escaped(latency.stage);
        auto out = std::back_inserter(text);
        for (const auto& bucket : latency.at_most) {
            fmt::format_to(out, "{}_bucket{{stage=\"{}\",le=\"{}\"}} {}\n", name, stage, bucket.first, bucket.second);
        }
        fmt::format_to(out, "{}_bucket{{stage=\"{}\",le=\"+Inf\"}} {}\n", name, stage, latency.count);
        fmt::format_to(out, "{}_sum{{stage=\"{}\"}} {}\n", name, stage, latency.sum_s);
        fmt::format_to(out, "{}_count{{stage=\"{}\"}} {}\n", name, stage, latency.count);
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
    node("penstock_active_threads", "Threads that work on a payload.", &NodeMetrics::active_threads);
    node("penstock_parked", "1 for an instance that is not needed and gets no payloads.", &NodeMetrics::parked);
    channel("penstock_sent_payloads_total", "Payloads sent.", &ChannelMetrics::sent_payloads);
    channel("penstock_sent_bytes_total", "Bytes of the payloads sent.", &ChannelMetrics::sent_bytes);
    channel("penstock_settled_payloads_total", "Payloads settled by their consumers.",
            &ChannelMetrics::settled_payloads);
    channel("penstock_dropped_payloads_total", "Payloads dropped by the overflow policy.",
            &ChannelMetrics::dropped_payloads);
    const auto level = [&](std::string_view name, std::string_view help, auto value) {
        append(text, {name, "gauge", help, "channel"}, metrics.channels, &ChannelMetrics::channel, value);
    };
    level("penstock_queued_payloads", "Payloads waiting for the operators behind it.",
          &ChannelMetrics::queued_payloads);
    level("penstock_in_flight_payloads", "Payloads sent and not settled.", &ChannelMetrics::in_flight_payloads);
    append_stalls(text, metrics.channels);
    append_compression(text, metrics.channels);
    append_latencies(text, metrics.latencies);
    return text;
}

}  // namespace penstock
