#include "report/page.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

#include <fmt/format.h>

#include <penstock/version.hpp>

#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/time_text.hpp"
#include "report/charts.hpp"
#include "report/html.hpp"

namespace penstock::report {
namespace {

constexpr std::size_t most_instances = 2000;
constexpr std::size_t most_histograms = 8;
constexpr std::size_t most_plan_bytes = 256U << 10U;

// The policy makes a browser refuse whatever would be loaded or run, should a text of the run ever be taken for markup.
constexpr std::string_view head = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<style>
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#d0d7de;--soft:#f3f5f7;--bar:#4f7cac;--warn:#c98a00;--bad:#c33}
@media(prefers-color-scheme:dark){:root{--ink:#e3e7eb;--paper:#15181c;--line:#3a4149;--soft:#1f242a;--bar:#6f9cc8}}
body{font:14px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:2rem auto;max-width:76rem;padding:0 1rem}
h1{font-size:1.5rem;margin:0 0 .3rem}h2{font-size:1.1rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
section{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0}
th,td{padding:.15rem .7rem .15rem 0;text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{border-bottom:1px solid var(--line);overflow-wrap:normal}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.error td{color:var(--bad)}.state{padding:.1rem .5rem;border-radius:.6rem;background:var(--soft)}
.state.completed{background:#2a7a4b;color:#fff}.state.failed,.state.lost,.state.unknown{background:var(--bad);color:#fff}
.note{background:var(--soft);border-left:4px solid var(--warn);padding:.4rem .8rem;white-space:pre-wrap;overflow-wrap:anywhere}
.note.bad{border-color:var(--bad)}pre{background:var(--soft);padding:.6rem;overflow:auto;max-height:30rem}
svg{display:block;max-width:none}svg text{fill:var(--ink);text-anchor:middle;font-size:11px}svg .name{font-size:13px;font-weight:600}
svg .row{text-anchor:end;font-size:12px}svg .key{text-anchor:start}
.stage{fill:var(--soft);stroke:var(--bar)}.source{stroke:#2a7a4b}.sink{stroke:#8a4fac}
.edge{fill:none;stroke:var(--ink);stroke-width:1.3}.lossy{stroke:var(--bad)}marker path{fill:var(--ink)}
.span{fill:var(--bar)}.warn{fill:var(--warn)}rect.error{fill:var(--bad)}
.c0{fill:#2a7a4b}.c1{fill:#9fb8a7}.c2{fill:#b8c4d0}.c3{fill:#e0a030}.c4{fill:#c33}.c5{fill:#8a4fac}.c6{fill:#7d8791}
</style>
)";

[[nodiscard]] std::string duration_text(double seconds) {
    return format_duration(std::chrono::nanoseconds{static_cast<std::int64_t>(std::clamp(seconds, 0.0, 9e9) * 1e9)});
}

[[nodiscard]] std::string latency_text(double microseconds) {
    return duration_text(microseconds / 1e6);
}

[[nodiscard]] std::string rate_text(std::uint64_t amount, double seconds) {
    return fmt::format("{:.4g}/s", static_cast<double>(amount) / std::max(seconds, 1e-9));
}

[[nodiscard]] std::string bytes_rate_text(std::uint64_t bytes, double seconds) {
    const double rate = static_cast<double>(bytes) / std::max(seconds, 1e-9);
    return format_bytes(static_cast<std::uint64_t>(std::min(rate, 1e18))) + "/s";
}

[[nodiscard]] std::string joined(const std::vector<NamedText>& texts) {
    std::string text;
    for (const auto& [key, value] : texts) text += (text.empty() ? "" : ", ") + key + " " + value;
    return text;
}

[[nodiscard]] std::string section(std::string_view title, const std::string& content) {
    if (content.empty()) return "";
    return fmt::format("<section><h2>{}</h2>\n{}</section>\n", escaped(title), content);
}

[[nodiscard]] std::string paragraph(std::string_view text) {
    return fmt::format("<p>{}</p>\n", escaped(text));
}

[[nodiscard]] std::string pairs_table(const std::vector<NamedText>& texts) {
    if (texts.empty()) return "";
    HtmlTable table{{"", ""}};
    for (const auto& [key, value] : texts) table.add({key, value});
    return table.text();
}

[[nodiscard]] std::string title_of(const RunReport& report) {
    const RunRecord& run = report.run;
    std::string text = fmt::format("<h1>{} <span class=\"state {}\">{}</span></h1>\n", escaped(run.name()),
                                   escaped(run.state), escaped(run.state));
    std::string about = run.pipeline.empty() ? "" : "pipeline " + run.pipeline + ", ";
    if (run.is_over() && run.state != "lost" && run.state != "unknown")
        about += fmt::format("exit code {}, ", run.exit_code);
    about += duration_text(run.elapsed_s);
    if (!run.started_at.empty()) about += ", started " + run.started_at;
    if (!run.coordinator.host.empty()) about += ", coordinated on " + run.coordinator.host;
    text += paragraph(about);
    if (!run.note.empty()) text += fmt::format("<p class=\"note bad\">{}</p>\n", escaped(run.note));
    if (!run.error.empty()) text += fmt::format("<p class=\"note bad\">{}</p>\n", escaped(run.error));
    if (!run.is_over()) text += "<p class=\"note\">The run goes on: these are figures of one moment.</p>\n";
    for (const std::string& problem : report.problems)
        text += fmt::format("<p class=\"note\">{}</p>\n", escaped(problem));
    return text;
}

[[nodiscard]] std::string compression(const RunReport& report) {
    HtmlTable table{{"compressing channel", "codec", ">before", ">after", ">ratio", ">payloads sent raw"}};
    bool is_there = false;
    for (const ChannelFigures& channel : report.channels) {
        if (channel.codec.empty()) continue;
        is_there = true;
        table.add({channel.name, channel.codec, format_bytes(channel.bytes_before), format_bytes(channel.bytes_after),
                   fmt::format("{:.2f}", channel.ratio), std::to_string(channel.raw_payloads)});
    }
    return is_there ? table.text() : "";
}

[[nodiscard]] std::string throughput(const RunReport& report) {
    if (report.channels.empty()) return "";
    HtmlTable channels{{"channel", ">published", ">delivered", ">settled", ">dropped", ">queued", ">in flight",
                        ">bytes", ">payloads", ">bytes", ">through rank 0"}};
    const double seconds = report.run.elapsed_s;
    for (const ChannelFigures& channel : report.channels) {
        channels.add(
            {channel.name, std::to_string(channel.published), std::to_string(channel.delivered),
             std::to_string(channel.settled), std::to_string(channel.dropped), std::to_string(channel.queued),
             std::to_string(channel.in_flight), format_bytes(channel.bytes), rate_text(channel.delivered, seconds),
             bytes_rate_text(channel.bytes, seconds), format_bytes(channel.rank0_bytes)},
            channel.dropped > 0 ? "error" : "");
    }
    HtmlTable stages{{"stage", "operator", ">instances", "counters"}};
    for (const StageFigures& stage : report.stages) {
        stages.add({stage.name, stage.operator_name, std::to_string(stage.instances), joined(stage.counters)});
    }
    return channels.text() + compression(report) + stages.text() +
           paragraph("Rates are over the whole time of the run, its start included.");
}

[[nodiscard]] std::string stalls(const RunReport& report) {
    std::string text = draw_times(report);
    HtmlTable table{{"channel: nothing moved for", ">no data", ">no credit", ">fabric"}};
    bool is_there = false;
    for (const ChannelFigures& channel : report.channels) {
        is_there = is_there || std::accumulate(channel.stalled_s.begin(), channel.stalled_s.end(), 0.0) > 0;
        table.add({channel.name, duration_text(channel.stalled_s[0]), duration_text(channel.stalled_s[1]),
                   duration_text(channel.stalled_s[2])});
    }
    if (is_there) text += table.text();
    if (text.empty()) return "";
    return text + paragraph(
                      "Summed over the instances at both ends of a channel. A slow consumer shows as no credit on the "
                      "channel to it, a slow producer as no data.");
}

[[nodiscard]] std::vector<std::string> latency_row(const std::string& name, const LatencyFigures& latency) {
    return {name,
            std::to_string(latency.count),
            latency_text(latency.p50_us),
            latency_text(latency.p90_us),
            latency_text(latency.p99_us),
            latency_text(latency.p999_us),
            latency_text(latency.max_us)};
}

[[nodiscard]] std::string latencies(const RunReport& report) {
    HtmlTable table{{"from source to", ">payloads", ">p50", ">p90", ">p99", ">p99.9", ">max"}};
    bool is_there = false;
    std::string histograms;
    std::size_t drawn = 0;
    for (const StageFigures& stage : report.stages) {
        if (!stage.latency) continue;
        is_there = true;
        table.add(latency_row(stage.name, *stage.latency));
        const std::string svg = drawn < most_histograms ? draw_histogram(*stage.latency) : "";
        if (svg.empty()) continue;
        ++drawn;
        histograms += paragraph(stage.name + ", payloads by the time they took at most:") + svg;
    }
    if (report.latency) table.add(latency_row("all sinks", *report.latency));
    if (!is_there && !report.latency) return "";
    std::string text = table.text() + histograms;
    if (report.several_clocks)
        text +=
            paragraph("The hosts of the run differ, and so do their clocks: latencies between them are off by that.");
    return text;
}

[[nodiscard]] std::string timeline(const RunReport& report) {
    const std::string svg = draw_timeline(report);
    if (svg.empty()) return "";
    return svg +
           paragraph(
               "From the first to the last log line of each process; of each stage where they are many. Marks are "
               "warnings and errors.");
}

[[nodiscard]] std::string messages(const RunReport& report) {
    std::uint64_t all = 0;
    for (const LogFigures& log : report.logs) all += log.warnings + log.errors;
    if (all == 0) return paragraph("None in the logs.");
    HtmlTable table{{"time", "process", "level", "message"}};
    for (const LogMessage& message : report.messages) {
        table.add({message.time_ns == 0 ? "" : time_text(message.time_ns), message.label,
                   message.is_error ? "error" : "warn", shortened(message.text, 2000)},
                  message.is_error ? "error" : "");
    }
    std::string text = table.text();
    if (all > report.messages.size()) {
        text += paragraph(fmt::format("{} of {}; all of them: penstock logs {} --level warn", report.messages.size(),
                                      all, report.run.name()));
    }
    return text;
}

[[nodiscard]] std::string placement(const RunReport& report) {
    if (report.instances.empty()) return "";
    HtmlTable table{{">rank", "instance", "node", "process", "transport", "state", ">in its operator"}};
    for (std::size_t i = 0; i < std::min(report.instances.size(), most_instances); ++i) {
        const InstanceFigures& instance = report.instances[i];
        table.add({std::to_string(instance.rank), instance.label, instance.node, instance.process, instance.transport,
                   instance.state, fmt::format("{:.0f} %", instance.utilization * 100)});
    }
    std::string text = table.text();
    if (report.instances.size() > most_instances) {
        text += paragraph(
            fmt::format("{} of {} instances; all are in status.json", most_instances, report.instances.size()));
    }
    return text + paragraph(
                      "Rank 0 is the coordinator. The transport is how it reaches an instance; those of a channel are "
                      "chosen in the same way for each pair of processes.");
}

[[nodiscard]] std::string configuration(const RunReport& report) {
    std::string text = pairs_table(report.facts);
    HtmlTable stages{{"stage", "operator", "settings"}};
    for (const StageFigures& stage : report.stages)
        stages.add({stage.name, stage.operator_name, joined(stage.settings)});
    if (!report.stages.empty()) text += stages.text();
    HtmlTable channels{{"channel", "from", "to", "settings"}};
    for (const ChannelFigures& channel : report.channels)
        channels.add({channel.name, channel.from, channel.to, joined(channel.settings)});
    if (!report.channels.empty()) text += channels.text();
    if (!report.environment.empty()) text += "<h3>Environment</h3>\n" + pairs_table(report.environment);
    if (!report.plan.empty()) {
        text += fmt::format("<details><summary>The checked pipeline (plan.json)</summary><pre>{}</pre></details>\n",
                            escaped(report.plan.size() > most_plan_bytes
                                        ? shortened(report.plan.substr(0, most_plan_bytes), most_plan_bytes - 8)
                                        : report.plan));
    }
    return text;
}

[[nodiscard]] std::string results(const RunReport& report) {
    if (report.results.empty()) return paragraph("No files in results/.");
    HtmlTable table{{"file", ">size", ">bytes"}};
    std::uint64_t sum = 0;
    for (const ResultFile& file : report.results) {
        table.add({file.name, format_bytes(file.bytes), std::to_string(file.bytes)});
        sum += file.bytes;
    }
    std::string text = table.text();
    if (report.more_results > 0) text += paragraph(fmt::format("and {} more files", report.more_results));
    return text + paragraph(fmt::format("{} in {} files. Results with an absolute name lie elsewhere.",
                                        format_bytes(sum), report.results.size()));
}

}  // namespace

std::string page(const RunReport& report) {
    std::string text{head};
    text += fmt::format("<title>{}</title></head><body>\n", escaped(report.run.name()));
    text += title_of(report);
    text += section("Graph", draw_graph(report));
    text += section("Timeline", timeline(report));
    text += section("Throughput", throughput(report));
    text += section("Where the time went", stalls(report));
    text += section("Latency", latencies(report));
    text += section("Warnings and errors", messages(report));
    text += section("Placement", placement(report));
    text += section("Results", results(report));
    text += section("Configuration", configuration(report));
    text += paragraph(fmt::format("{}, read {} by penstock {}", report.run.path,
                                  time_text(static_cast<std::int64_t>(wall_ns())), version));
    return text + "</body></html>\n";
}

}  // namespace penstock::report
