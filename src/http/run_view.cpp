#include "http/run_view.hpp"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

namespace penstock {
namespace {

struct InstanceTotals {
    std::uint64_t items = 0;
    double busy_s = 0;
};

[[nodiscard]] std::uint64_t items_of(const nlohmann::json& instance) {
    std::uint64_t items = 0;
    if (instance.contains("inputs")) {
        for (const auto& input : instance.at("inputs")) items += input.at("delivered").get<std::uint64_t>();
    } else if (instance.contains("outputs")) {
        for (const auto& output : instance.at("outputs")) items += output.at("sent").get<std::uint64_t>();
    }
    return items;
}

/// In its operator: a pause counts, but for a source, which has nothing in its hands meanwhile.
[[nodiscard]] double busy_of(const nlohmann::json& instance) {
    const auto& time = instance.at("time_s");
    return time.at("operator").get<double>() + (instance.contains("inputs") ? time.at("paced").get<double>() : 0);
}

[[nodiscard]] std::map<int, InstanceTotals> totals_of(const nlohmann::json& status) {
    std::map<int, InstanceTotals> totals;
    if (!status.contains("stages")) return totals;
    for (const auto& stage : status.at("stages")) {
        if (!stage.contains("instances")) continue;
        for (const auto& instance : stage.at("instances")) {
            totals[instance.at("rank").get<int>()] = {items_of(instance), busy_of(instance)};
        }
    }
    return totals;
}

[[nodiscard]] NodeMetrics node_metrics(const std::string& stage, const nlohmann::json& instance,
                                       const InstanceTotals& before, double seconds) {
    NodeMetrics node{.node = stage + "." + std::to_string(instance.at("instance").get<int>())};
    if (instance.contains("inputs")) {
        for (const auto& input : instance.at("inputs")) node.queue_depth += input.at("queued").get<std::uint64_t>();
    }
    if (instance.contains("threads")) node.active_threads = instance.at("threads").at("active").get<int>();
    node.parked = instance.value("parked", false) ? 1 : 0;
    if (seconds <= 0) return node;
    const std::uint64_t items = items_of(instance);
    node.items_per_second = static_cast<double>(items - std::min(items, before.items)) / seconds;
    node.utilization_percent = std::clamp(100 * (busy_of(instance) - before.busy_s) / seconds, 0.0, 100.0);
    return node;
}

[[nodiscard]] LatencyMetrics latency_metrics(const nlohmann::json& stage) {
    const auto& latency = stage.at("latency_us");
    LatencyMetrics metrics{
        .stage = stage.at("name").get<std::string>(), .at_most = {}, .count = latency.at("count").get<std::uint64_t>()};
    metrics.sum_s = latency.at("mean").get<double>() * 1e-6 * static_cast<double>(metrics.count);
    for (const auto& bound : latency.at("at_most").items()) {
        metrics.at_most[std::stod(bound.key()) / 1e6] = bound.value().get<std::uint64_t>();
    }
    return metrics;
}

}  // namespace

Metrics metrics_between(std::string_view before, std::string_view now) {
    try {
        const auto status = nlohmann::json::parse(now);
        const auto earlier = before.empty() ? nlohmann::json::object() : nlohmann::json::parse(before);
        auto totals = totals_of(earlier);
        const double seconds =
            status.at("elapsed_s").get<double>() - (before.empty() ? 0 : earlier.at("elapsed_s").get<double>());
        Metrics metrics;
        for (const auto& stage : status.at("stages")) {
            if (stage.contains("latency_us")) metrics.latencies.push_back(latency_metrics(stage));
            if (!stage.contains("instances")) continue;
            for (const auto& instance : stage.at("instances")) {
                metrics.nodes.push_back(node_metrics(stage.at("name").get<std::string>(), instance,
                                                     totals[instance.at("rank").get<int>()], seconds));
            }
        }
        for (const auto& channel : status.at("channels")) {
            metrics.channels.push_back({.channel = channel.at("name").get<std::string>(),
                                        .sent_payloads = channel.at("delivered").get<std::uint64_t>(),
                                        .sent_bytes = channel.at("bytes").get<std::uint64_t>(),
                                        .settled_payloads = channel.at("settled").get<std::uint64_t>(),
                                        .dropped_payloads = channel.at("dropped").get<std::uint64_t>(),
                                        .queued_payloads = channel.at("queued").get<std::uint64_t>(),
                                        .in_flight_payloads = channel.at("in_flight").get<std::uint64_t>(),
                                        .stalled_s = channel.at("stalled_s").get<std::map<std::string, double>>()});
            if (!channel.contains("compression")) continue;
            const auto& compression = channel.at("compression");
            ChannelMetrics& metric = metrics.channels.back();
            metric.compresses = true;
            metric.compressed_from_bytes = compression.at("bytes_before").get<std::uint64_t>();
            metric.compressed_to_bytes = compression.at("bytes_after").get<std::uint64_t>();
            metric.raw_payloads = compression.at("raw_payloads").get<std::uint64_t>();
        }
        return metrics;
    } catch (const nlohmann::json::exception& error) {
        throw Error{Errc::internal, std::string{"a status cannot be read: "} + error.what()};
    }
}

RunView::RunView(int port, std::string pipeline)
    : server_{{.port = port,
               .pipeline = std::move(pipeline),
               .stats =
                   [this] {
                       const std::lock_guard lock{mutex_};
                       return status_;
                   },
               .metrics =
                   [this] {
                       const std::lock_guard lock{mutex_};
                       return metrics_;
                   }}} {}

void RunView::update(std::string_view status) {
    const std::lock_guard lock{mutex_};
    metrics_ = metrics_between(status_, status);
    status_ = status;
}

}  // namespace penstock
