#include <algorithm>
#include <csignal>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/clock.hpp"
#include "base/format.hpp"
#include "base/table.hpp"
#include "base/time_text.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "cli/run_argument.hpp"
#include "cli/terminal_text.hpp"
#include "launch/run_record.hpp"
#include "launch/slurm.hpp"

namespace penstock::cli {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

constexpr auto look_period = 200ms;

struct RunsArguments {
    RunArgument run = {};
    bool watch = false;
    bool abort = false;
    bool instances = false;
    bool exit_code = false;
    bool path = false;
    std::int64_t since_s = 0;  // since 1970; 0 for whenever
    std::chrono::milliseconds timeout{30'000};
};

[[nodiscard]] std::string elapsed_text(double seconds) {
    return format_duration(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds)));
}

[[nodiscard]] Json summary_json(const RunRecord& run) {
    Json json{{"run", run.name()},
              {"pipeline", run.pipeline},
              {"state", run.state},
              {"exit_code", run.exit_code},
              {"elapsed_s", run.elapsed_s},
              {"started_at", run.started_at},
              {"host", run.coordinator.host},
              {"path", run.path}};
    if (!run.slurm_job.empty()) json["slurm_job_id"] = run.slurm_job;
    if (!run.phase.name.empty()) {
        json["phase"] = {{"name", run.phase.name}, {"number", run.phase.number}, {"of", run.phase.of}};
        for (const auto& [name, path] : run.phase.earlier) json["phase"]["runs"][name] = path;
    }
    if (!run.note.empty()) json["note"] = run.note;
    return json;
}

int list(const Program& program, const RunsArguments& arguments) {
    const auto paths = list_runs(arguments.run.runs_dir);
    auto json = Json::array();
    Table table{{"RUN", "PIPELINE", "STATE", "EXIT", "ELAPSED", "STARTED"}};
    SlurmAnswers slurm;
    for (const std::string& path : paths) {
        const RunRecord run = read_run(path, slurm);
        if (program.json) json.push_back(summary_json(run));
        const bool has_code = run.is_over() && run.state != "lost" && run.state != "unknown";
        table.add({run.name(), run.phase.name.empty() ? run.pipeline : run.pipeline + ", " + run.phase_words(),
                   run.state, has_code ? std::to_string(run.exit_code) : "", elapsed_text(run.elapsed_s),
                   run.started_at.substr(0, run.started_at.find('.'))});
    }
    if (program.json) {
        program.out << json_text(json);
    } else if (paths.empty()) {
        program.out << "no runs in " << arguments.run.runs_dir << '\n';
    } else {
        program.out << without_controls(table.text(), true);
    }
    return 0;
}

/// A number that may be missing in a file written by another version.
[[nodiscard]] std::uint64_t number(const Json& json, const char* key) {
    const auto at = json.find(key);
    return at != json.end() && at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
}

[[nodiscard]] std::string word(const Json& json, const char* key) {
    const auto at = json.find(key);
    return at != json.end() && at->is_string() ? without_controls(at->get<std::string>()) : "";
}

[[nodiscard]] Json list_of(const Json& json, const char* key) {
    const auto at = json.find(key);
    return at != json.end() && at->is_array() ? *at : Json::array();
}

[[nodiscard]] std::string counters_text(const Json& holder) {
    std::string text;
    const auto counters = holder.find("counters");
    if (counters == holder.end() || !counters->is_object()) return text;
    for (const auto& [name, value] : counters->items()) {
        text += fmt::format("{}{} {}", text.empty() ? "" : ", ", value.dump(), name);
    }
    return text;
}

/// "3 done, 1 waiting for input".
[[nodiscard]] std::string states_text(const Json& instances) {
    std::vector<std::pair<std::string, int>> states;
    for (const Json& instance : instances) {
        const std::string state = word(instance, "state");
        const auto at = std::ranges::find(states, state, &std::pair<std::string, int>::first);
        if (at == states.end())
            states.emplace_back(state, 1);
        else
            ++at->second;
    }
    std::string text;
    for (const auto& [state, count] : states) {
        text += fmt::format("{}{}", text.empty() ? "" : ", ", instances.size() > 1 ? fmt::format("{} ", count) : "") +
                state;
    }
    return text;
}

/// "1.5 MiB", "1.5 MiB, lz4 to 454 KiB".
[[nodiscard]] std::string bytes_text(const Json& channel) {
    std::string text = format_bytes(number(channel, "bytes"));
    const auto compression = channel.find("compression");
    if (compression == channel.end() || !compression->is_object()) return text;
    return text +
           fmt::format(", {} to {}", word(*compression, "codec"), format_bytes(number(*compression, "bytes_after")));
}

[[nodiscard]] std::string status_text(const RunRecord& run, bool with_instances) {
    std::string text = fmt::format("{}: {}", run.name(), run.state);
    if (run.is_over() && run.state != "lost" && run.state != "unknown")
        text += fmt::format(", exit code {}", run.exit_code);
    text += fmt::format(", {}", elapsed_text(run.elapsed_s));
    if (!run.coordinator.host.empty()) text += fmt::format(", on {}", run.coordinator.host);
    text += run.slurm_job.empty() ? "\n" : fmt::format(", Slurm job {}\n", run.slurm_job);
    if (!run.phase.name.empty()) text += fmt::format("  {} of pipeline {}\n", run.phase_words(), run.pipeline);
    for (const auto& [name, path] : run.phase.earlier) text += fmt::format("  after phase {}: {}\n", name, path);
    if (!run.note.empty()) text += "  " + run.note + "\n";
    if (!run.error.empty()) text += "  " + run.error + "\n";
    if (run.status.empty()) return text;

    const Json status = Json::parse(run.status);
    Table stages{{"  STAGE", "INSTANCES", "STATE", "COUNTERS"}};
    for (const Json& stage : list_of(status, "stages")) {
        const Json instances = list_of(stage, "instances");
        stages.add({"  " + word(stage, "name"), std::to_string(instances.size()), states_text(instances),
                    counters_text(stage)});
        if (!with_instances) continue;
        for (const Json& instance : instances) {
            stages.add({fmt::format("    {}.{}", word(stage, "name"), number(instance, "instance")),
                        fmt::format("rank {}", number(instance, "rank")), word(instance, "state"),
                        counters_text(instance)});
        }
    }
    Table channels{{"  CHANNEL", "PUBLISHED", "DELIVERED", "SETTLED", "DROPPED", "BYTES", "RATE"}};
    const double seconds = std::max(run.elapsed_s, 1e-9);
    for (const Json& channel : list_of(status, "channels")) {
        const std::uint64_t bytes = number(channel, "bytes");
        channels.add({"  " + word(channel, "name"), std::to_string(number(channel, "published")),
                      std::to_string(number(channel, "delivered")), std::to_string(number(channel, "settled")),
                      std::to_string(number(channel, "dropped")), bytes_text(channel),
                      format_bytes(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)) + "/s"});
    }
    return text + stages.text() + channels.text();
}

/// The exit code of a run that is over, for scripts.
int print_exit_code(const Program& program, const RunRecord& run) {
    if (!run.is_over() || run.state == "unknown") {
        throw Error{Errc::failed, run.name() + " has no exit code: it is " + run.state + "; " +
                                      (run.note.empty() ? "`penstock status --watch` waits for its end" : run.note)};
    }
    program.out << run.end_code() << '\n';
    return 0;
}

void refuse_older(const RunRecord& run, std::int64_t since_s) {
    constexpr std::int64_t ns_of_s = 1'000'000'000;
    const auto began = parse_time(run.started_at);
    if (began && *began / ns_of_s >= since_s) return;
    throw Error{Errc::failed, run.name() + " began before --since, at " +
                                  (began ? run.started_at : "a time that run.json does not say") +
                                  "; there is no newer one of that name or job"};
}

int status(const Program& program, const RunsArguments& arguments) {
    const std::string path = arguments.run.find();
    if (arguments.since_s > 0) refuse_older(read_run(path), arguments.since_s);
    if (arguments.path) {
        program.out << path << '\n';
        return 0;
    }
    if (arguments.exit_code) return print_exit_code(program, read_run(path));
    SlurmAnswers slurm;
    for (;;) {
        const RunRecord run = read_run(path, slurm);
        if (program.json) {
            Json json = summary_json(run);
            if (!run.error.empty()) json["error"] = run.error;
            if (!run.status.empty()) {
                const Json status = Json::parse(run.status);
                json["stages"] = list_of(status, "stages");
                json["channels"] = list_of(status, "channels");
            }
            program.out << (arguments.watch ? json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n'
                                            : json_text(json));
        } else {
            program.out << without_controls(status_text(run, arguments.instances), true);
        }
        program.out.flush();
        if (!arguments.watch || run.is_over() || !program.out) return 0;
        std::this_thread::sleep_for(1s);
        if (!program.json) program.out << '\n';
    }
}

int cancel(const Program& program, const RunsArguments& arguments) {
    const std::string path = arguments.run.find();
    SlurmAnswers slurm;
    RunRecord run = read_run(path, slurm);
    if (run.is_over()) {
        program.out << run.name() << " is over: " << run.state << '\n';
        return 0;
    }
    request_stop(path, arguments.abort ? StopRequest::abort : StopRequest::drain);
    const auto deadline = SteadyClock::now() + arguments.timeout;
    while (!run.is_over() && SteadyClock::now() < deadline) {
        std::this_thread::sleep_for(look_period);
        run = read_run(path, slurm);
    }
    if (!run.is_over()) {
        throw Error{
            Errc::timed_out,
            run.name() + " still drains after " + format_duration(arguments.timeout) +
                (!run.slurm_job.empty()
                     ? "; wait longer with --timeout, or end its job with `scancel " + run.slurm_job + "`"
                 : arguments.abort ? "; end its processes (`penstock status` names the host)"
                                   : "; wait longer with --timeout, or give up what is under way with --abort")};
    }
    program.out << run.name() << ": " << run.state << '\n';
    return 0;
}

template <class Act>
void set_action(CLI::App& command, Program& program, const std::shared_ptr<RunsArguments>& arguments, Act act) {
    command.final_callback([&program, arguments, act] {
        program.action = [&program, arguments, act] { return act(program, *arguments); };
    });
}

}  // namespace

std::string RunArgument::find() const {
    return find_run(runs_dir, run);
}

void add_runs_dir(CLI::App& command, RunArgument& argument) {
    command.add_option("--runs-dir", argument.runs_dir, "Where the run directories are")
        ->type_name("DIR")
        ->capture_default_str();
}

void add_run_argument(CLI::App& command, RunArgument& argument) {
    command
        .add_option(
            "run", argument.run,
            "The directory of a run, its name, the beginning of its name, or the id of its Slurm job; the newest "
            "run if left out")
        ->type_name("RUN");
    add_runs_dir(command, argument);
}

void add_runs(CLI::App& app, Program& program) {
    const auto arguments = std::make_shared<RunsArguments>();

    auto* all = app.add_subcommand("list", "Show the runs there are, newest first");
    add_runs_dir(*all, arguments->run);
    add_json_flag(*all, program, "Print them as JSON");
    all->footer(examples({"penstock list", "penstock list --runs-dir /scratch/runs --json"}));
    set_action(*all, program, arguments, list);

    auto* one = app.add_subcommand("status", "Show how a run is doing, or how it ended");
    add_run_argument(*one, arguments->run);
    one->add_flag("--watch", arguments->watch, "Show it every second until the run is over");
    one->add_flag("--instances", arguments->instances, "A line for each instance");
    one->add_flag("--exit-code", arguments->exit_code, "Only the exit code of a run that is over");
    one->add_flag("--path", arguments->path, "Only the path of the directory of the run");
    one->add_option("--since", arguments->since_s,
                    "Refuse a run that began before; seconds since 1970, as `date +%s` says")
        ->check(CLI::NonNegativeNumber)
        ->type_name("SECONDS");
    add_json_flag(*one, program, "Print it as JSON; with --watch one line each time");
    one->footer(examples({"penstock status", "penstock status streaming-demo --watch"}));
    set_action(*one, program, arguments, status);

    auto* end = app.add_subcommand("cancel", "Stop a run in order: sources stop, what is under way drains");
    add_run_argument(*end, arguments->run);
    end->add_flag("--abort", arguments->abort, "Do not drain: what is not settled is lost");
    add_duration(*end, "--timeout", arguments->timeout, "Wait so long for the end of the run");
    end->footer(examples({"penstock cancel", "penstock cancel streaming-demo-20250718-204234-1a2b --abort"}));
    set_action(*end, program, arguments, cancel);
}

}  // namespace penstock::cli
