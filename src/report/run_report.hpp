#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launch/run_record.hpp"

namespace penstock::report {

/// Where the time of an instance goes, as `time_s` of status.json names it.
inline constexpr std::array<std::string_view, 7> time_causes{"operator",  "paced",  "no_data",   "no_credit",
                                                             "no_memory", "fabric", "settlement"};
/// Why nothing moved on a channel, as `stalled_s` names it.
inline constexpr std::array<std::string_view, 3> stall_causes{"no_data", "no_credit", "fabric"};

using NamedText = std::pair<std::string, std::string>;

struct LatencyFigures {
    std::uint64_t count = 0;
    double p50_us = 0;
    double p90_us = 0;
    double p99_us = 0;
    double p999_us = 0;
    double max_us = 0;
    /// How many took at most so many microseconds; ascending.
    std::vector<std::pair<double, std::uint64_t>> at_most = {};
};

struct InstanceFigures {
    std::string label;  ///< "consumer.0"
    std::uint64_t rank = 0;
    std::string state = {};
    double utilization = 0;
    std::string process = {};  ///< "host:pid"
    std::string node = {};
    std::string transport = {};  ///< How the coordinator reaches it.
};

struct StageFigures {
    std::string name;
    std::string operator_name = {};
    std::string kind = {};
    std::uint64_t instances = 0;  ///< As planned.
    std::vector<NamedText> settings = {};
    std::vector<NamedText> counters = {};
    std::array<double, time_causes.size()> time_s{};  ///< Summed over the instances.
    std::optional<LatencyFigures> latency = {};
};

struct ChannelFigures {
    std::string name;
    std::string from = {};
    std::string to = {};
    std::vector<NamedText> settings = {};
    std::uint64_t published = 0;
    std::uint64_t delivered = 0;
    std::uint64_t settled = 0;
    std::uint64_t dropped = 0;
    std::uint64_t bytes = 0;
    std::uint64_t rank0_bytes = 0;
    std::uint64_t queued = 0;
    std::uint64_t in_flight = 0;
    std::array<double, stall_causes.size()> stalled_s{};
    // Of one that compresses:
    std::string codec = {};
    std::uint64_t bytes_before = 0;
    std::uint64_t bytes_after = 0;
    double ratio = 1;
    std::uint64_t raw_payloads = 0;
};

/// The log of one process.
struct LogFigures {
    std::string label;
    std::int64_t first_ns = 0;  ///< Since the epoch; 0 where no line has a time.
    std::int64_t last_ns = 0;
    std::uint64_t lines = 0;
    std::uint64_t warnings = 0;
    std::uint64_t errors = 0;
    std::uint64_t broken = 0;  ///< Lines that are no JSON.
};

struct LogMessage {
    std::string label;
    std::int64_t time_ns = 0;
    bool is_error = false;
    std::string text = {};
};

struct ResultFile {
    std::string name;  ///< Below results/.
    std::uint64_t bytes = 0;
};

/// All that a report says. A value; everything in it is somebody else's text until it is escaped.
struct RunReport {
    RunRecord run;
    std::vector<std::string> problems = {};  ///< Files that could not be read, or not all of them.
    std::vector<NamedText> facts = {};       ///< Of run.json.
    std::vector<NamedText> environment = {};
    std::string plan = {};  ///< The text of the plan without its ranks.
    std::vector<StageFigures> stages = {};
    std::vector<ChannelFigures> channels = {};
    std::vector<InstanceFigures> instances = {};  ///< By rank.
    std::optional<LatencyFigures> latency = {};
    bool several_clocks = false;
    std::vector<LogFigures> logs = {};
    std::vector<LogMessage> messages = {};  ///< Warnings and errors, by time; at most `most_messages`.
    std::vector<ResultFile> results = {};   ///< At most `most_results`.
    std::uint64_t more_results = 0;

    static constexpr std::size_t most_messages = 500;
    static constexpr std::size_t most_results = 500;
};

/// Reads the directory of a run, whatever is there of it: a file that is missing or broken becomes a problem of the
/// report. Never waits: neither for the run nor for a pipe that stands in a file's place.
[[nodiscard]] RunReport read_report(const std::string& path);

}  // namespace penstock::report
