#include "report/run_report.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <unordered_map>

#include "report/json_values.hpp"
#include "report/read_logs.hpp"

namespace penstock::report {
namespace {

namespace fs = std::filesystem;

/// Null, and a problem where it is there and broken or where it is always written.
[[nodiscard]] Json read_json(RunReport& report, const std::string& name, bool is_expected) {
    const auto text = run_file_text(report.run.path + "/" + name);
    if (!text) {
        if (is_expected) report.problems.push_back(name + " is missing, or is no file that can be read");
        return {};
    }
    Json json = is_shallow_json(*text) ? Json::parse(*text, nullptr, false) : Json{};
    if (json.is_object()) return json;
    report.problems.push_back(name + " is broken: it is no object of JSON");
    return {};
}

[[nodiscard]] std::vector<NamedText> texts_of(const Json& json, std::initializer_list<const char*> left_out = {}) {
    std::vector<NamedText> texts;
    if (!json.is_object()) return texts;
    for (const auto& item : json.items()) {
        const bool is_left_out =
            std::any_of(left_out.begin(), left_out.end(), [&](const char* each) { return item.key() == each; });
        if (!is_left_out) texts.emplace_back(item.key(), text_of(item.value()));
    }
    return texts;
}

template <std::size_t Size>
void add_amounts(std::array<double, Size>& into, const std::array<std::string_view, Size>& names, const Json& json) {
    for (std::size_t i = 0; i < Size; ++i) into[i] += amount(json, std::string{names[i]}.c_str());
}

[[nodiscard]] std::optional<LatencyFigures> latency_of(const Json& holder) {
    const Json& json = object(holder, "latency_us");
    if (count(json, "count") == 0) return std::nullopt;
    LatencyFigures latency{.count = count(json, "count"),
                           .p50_us = amount(json, "p50"),
                           .p90_us = amount(json, "p90"),
                           .p99_us = amount(json, "p99"),
                           .p999_us = amount(json, "p999"),
                           .max_us = amount(json, "max")};
    for (const auto& [key, value] : object(json, "at_most").items()) {
        double bound = 0;
        const auto read = std::from_chars(key.data(), key.data() + key.size(), bound);
        if (read.ec == std::errc{} && bound > 0 && value.is_number_unsigned())
            latency.at_most.emplace_back(bound, value.get<std::uint64_t>());
    }
    std::sort(latency.at_most.begin(), latency.at_most.end());
    return latency;
}

void read_about(RunReport& report) {
    const Json about = read_json(report, "run.json", true);
    report.facts = texts_of(about, {"environment", "world", "process_started"});
    report.environment = texts_of(object(about, "environment"));
}

void read_plan(RunReport& report) {
    Json plan = read_json(report, "plan.json", true);
    if (plan.is_null()) return;
    for (const Json& stage : list(plan, "stages")) {
        report.stages.push_back({.name = word(stage, "name"),
                                 .operator_name = word(stage, "operator"),
                                 .kind = word(stage, "kind"),
                                 .instances = count(stage, "instances"),
                                 .settings = texts_of(stage, {"name", "operator", "kind", "instances", "first_rank",
                                                              "inputs", "outputs"})});
    }
    for (const Json& channel : list(plan, "channels")) {
        report.channels.push_back({.name = word(channel, "name"),
                                   .from = word(channel, "from"),
                                   .to = word(channel, "to"),
                                   .settings = texts_of(channel, {"name", "from", "to"})});
    }
    plan.erase("ranks");
    report.plan = plan.dump(2, ' ', false, Json::error_handler_t::replace);
}

/// The one of that name; made if the plan does not have it.
template <class Figures>
[[nodiscard]] Figures& named(std::vector<Figures>& all, std::size_t expected_at, const std::string& name) {
    if (expected_at < all.size() && all[expected_at].name == name) return all[expected_at];
    const auto at = std::find_if(all.begin(), all.end(), [&](const Figures& each) { return each.name == name; });
    if (at != all.end()) return *at;
    Figures figures{};
    figures.name = name;
    return all.emplace_back(std::move(figures));
}

void add_instances(RunReport& report, StageFigures& stage, const Json& status) {
    for (const Json& instance : list(status, "instances")) {
        add_amounts(stage.time_s, time_causes, object(instance, "time_s"));
        report.instances.push_back({.label = stage.name + "." + std::to_string(count(instance, "instance")),
                                    .rank = count(instance, "rank"),
                                    .state = word(instance, "state"),
                                    .utilization = std::min(amount(instance, "utilization"), 1.0)});
    }
}

void read_status(RunReport& report) {
    Json status;
    // read_run has found out whether it can be read; it may have been written anew since.
    if (!report.run.status.empty()) status = Json::parse(report.run.status, nullptr, false);
    if (!status.is_object()) {
        report.problems.emplace_back(
            "status.json is missing or broken: no figures of the run, unless stats.json has them");
        status = read_json(report, "stats.json", false);
        if (!status.is_object()) return;
    }
    std::size_t at = 0;
    for (const Json& each : list(status, "stages")) {
        StageFigures& stage = named(report.stages, at++, word(each, "name"));
        if (stage.operator_name.empty()) stage.operator_name = word(each, "operator");
        stage.instances = std::max<std::uint64_t>(stage.instances, list(each, "instances").size());
        stage.counters = texts_of(object(each, "counters"));
        stage.latency = latency_of(each);
        add_instances(report, stage, each);
    }
    at = 0;
    for (const Json& each : list(status, "channels")) {
        ChannelFigures& channel = named(report.channels, at++, word(each, "name"));
        channel.published = count(each, "published");
        channel.delivered = count(each, "delivered");
        channel.settled = count(each, "settled");
        channel.dropped = count(each, "dropped");
        channel.bytes = count(each, "bytes");
        channel.rank0_bytes = count(each, "rank0_bytes");
        channel.queued = count(each, "queued");
        channel.in_flight = count(each, "in_flight");
        const Json& compression = object(each, "compression");
        channel.codec = word(compression, "codec");
        channel.bytes_before = count(compression, "bytes_before");
        channel.bytes_after = count(compression, "bytes_after");
        channel.ratio = amount(compression, "ratio");
        channel.raw_payloads = count(compression, "raw_payloads");
        add_amounts(channel.stalled_s, stall_causes, object(each, "stalled_s"));
    }
    report.latency = latency_of(status);
    const Json& latency = object(status, "latency_us");
    report.several_clocks = latency.contains("several_clocks") && latency["several_clocks"] == true;
}

/// Every file of peers/ names all instances: the first that can be read will do.
void read_peers(RunReport& report) {
    constexpr std::size_t most_tried = 8;
    std::vector<std::string> names;
    std::error_code failed;
    for (fs::directory_iterator at{fs::path{report.run.path} / "peers", failed}, end; !failed && at != end;
         at.increment(failed)) {
        names.push_back("peers/" + at->path().filename().string());
    }
    std::sort(names.begin(), names.end());
    Json peers;
    for (std::size_t i = 0; i < std::min(names.size(), most_tried) && peers.is_null(); ++i) {
        peers = read_json(report, names[i], true);
    }
    if (peers.is_null()) {
        report.problems.emplace_back("peers/ says nothing: which process ran where is not known");
        return;
    }
    std::unordered_map<std::uint64_t, std::size_t> by_rank;
    for (std::size_t i = 0; i < report.instances.size(); ++i) by_rank.emplace(report.instances[i].rank, i);
    for (const auto& stage : object(peers, "all_stages").items()) {
        for (const Json& peer : stage.value().is_array() ? stage.value() : Json::array()) {
            const std::uint64_t rank = count(peer, "rank");
            const auto [at, is_new] = by_rank.emplace(rank, report.instances.size());
            if (is_new) {
                report.instances.push_back(
                    {.label = word(peer, "stage_id") + "." + std::to_string(count(peer, "index")), .rank = rank});
            }
            InstanceFigures& instance = report.instances[at->second];
            instance.process = word(peer, "instance_id");
            instance.node = word(peer, "node");
            instance.transport = word(peer, "transport");
        }
    }
}

void read_results(RunReport& report) {
    std::error_code failed;
    const fs::path folder = fs::path{report.run.path} / "results";
    for (fs::recursive_directory_iterator at{folder, fs::directory_options::skip_permission_denied, failed}, end;
         !failed && at != end; at.increment(failed)) {
        std::error_code none;
        if (!at->is_regular_file(none) || at->is_symlink(none)) continue;
        if (report.results.size() == RunReport::most_results) {
            ++report.more_results;
            continue;
        }
        const auto bytes = at->file_size(none);
        report.results.push_back({.name = at->path().lexically_relative(folder).string(), .bytes = none ? 0 : bytes});
    }
    if (failed && failed != std::errc::no_such_file_or_directory)
        report.problems.push_back("results/ cannot be read: " + failed.message());
    std::sort(report.results.begin(), report.results.end(),
              [](const ResultFile& a, const ResultFile& b) { return a.name < b.name; });
}

}  // namespace

RunReport read_report(const std::string& path) {
    RunReport report{.run = read_run(path)};
    read_about(report);
    read_plan(report);
    read_status(report);
    read_peers(report);
    std::sort(report.instances.begin(), report.instances.end(),
              [](const InstanceFigures& a, const InstanceFigures& b) { return a.rank < b.rank; });
    read_logs(report);
    read_results(report);
    return report;
}

}  // namespace penstock::report
