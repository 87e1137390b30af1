#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace penstock {

/// One instance at the moment of a snapshot.
struct NodeMetrics {
    std::string node;                ///< "processor.1"
    double items_per_second = 0;     ///< Payloads, since the snapshot before.
    std::uint64_t queue_depth = 0;   ///< Payloads waiting for the operator.
    double utilization_percent = 0;  ///< Time spent in the operator, 0 to 100.
    int active_threads = 1;
    int parked = 0;  ///< 1 where it gets no payloads as it is not needed.
};

/// One channel, summed over its instances, since the start of the run.
struct ChannelMetrics {
    std::string channel;
    std::uint64_t sent_payloads = 0;
    std::uint64_t sent_bytes = 0;
    std::uint64_t settled_payloads = 0;
    std::uint64_t dropped_payloads = 0;
    std::uint64_t queued_payloads = 0;
    std::uint64_t in_flight_payloads = 0;
    std::map<std::string, double> stalled_s = {};  ///< By cause.
    bool compresses = false;
    std::uint64_t compressed_from_bytes = 0;
    std::uint64_t compressed_to_bytes = 0;
    std::uint64_t raw_payloads = 0;  ///< That went as they are.
};

/// From source to sink, over the instances of a sink, since the start of the run.
struct LatencyMetrics {
    std::string stage;
    std::map<double, std::uint64_t> at_most;  ///< How many took at most so many seconds.
    std::uint64_t count = 0;
    double sum_s = 0;
};

struct Metrics {
    std::vector<NodeMetrics> nodes;
    std::vector<ChannelMetrics> channels;
    std::vector<LatencyMetrics> latencies = {};
};

/// The Prometheus text format, version 0.0.4.
[[nodiscard]] std::string prometheus_text(const Metrics& metrics);

}  // namespace penstock
