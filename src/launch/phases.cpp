#include "launch/phases.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "launch/run_directory.hpp"
#include "launch/run_record.hpp"
#include "plan/phases.hpp"
#include "plan/results_reference.hpp"
#include "runtime/signals.hpp"

namespace penstock {
namespace {

using RunsOfPhases = std::map<std::string, std::string>;

/// The plan with the results of those runs in its parameters.
[[nodiscard]] Plan with_results(const Chain& chain, Plan plan, RunsOfPhases runs) {
    const auto folder_of = [&](std::string_view stage) {
        const std::string& phase = chain.phase_of(stage).phase->name;
        const auto run = runs.find(phase);
        if (run != runs.end()) return RunDirectory{run->second}.results();
        throw Error{Errc::invalid_input, phase_words(plan) + " of pipeline " + in_quotes(plan.pipeline) +
                                             " reads the results of phase " + in_quotes(phase) +
                                             "; say with --earlier " + phase + "=RUN which run that was"};
    };
    for (PlannedStage& stage : plan.stages) replace_results(stage.params, folder_of);
    plan.phase->runs = std::move(runs);
    return plan;
}

void check_earlier(const std::string& path, const Plan& wanted) {
    const RunRecord run = read_run(path);
    const auto refuse = [&](const std::string& why) {
        throw Error{Errc::invalid_input, "the run " + path_in_quotes(path) + " " + why + "; name a run of phase " +
                                             in_quotes(wanted.phase->name) + " that has completed"};
    };
    if (run.pipeline != wanted.pipeline || run.phase.name != wanted.phase->name) {
        refuse("is of pipeline " + in_quotes(run.pipeline) +
               (run.phase.name.empty() ? ", which has no phases" : ", phase " + in_quotes(run.phase.name)));
    }
    if (run.state != "completed") refuse("is " + run.state);
}

[[nodiscard]] std::string names_of(const std::vector<std::string>& phases) {
    std::string text;
    for (const std::string& phase : phases) text += (text.empty() ? "" : ", ") + in_quotes(phase);
    return text;
}

/// "stage=run".
void add_earlier(const Chain& chain, const Plan& plan, const RunOptions& options, const std::string& text,
                 bool is_leader, RunsOfPhases& runs) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
        throw Error{Errc::invalid_input,
                    "cannot read the earlier run " + in_quotes(text) + "; write STAGE=RUN, with a stage of its phase"};
    }
    const Plan& earlier = chain.phase_of(std::string_view{text}.substr(0, equals));
    const auto known = plan.phase ? earlier_phases(chain, plan) : std::vector<std::string>{};
    if (!earlier.phase || std::ranges::find(known, earlier.phase->name) == known.end()) {
        throw Error{Errc::invalid_input,
                    "no run of stage " + in_quotes(text.substr(0, equals)) + " is earlier than that of stage " +
                        in_quotes(options.phase) + "; " +
                        (known.empty() ? "leave --earlier out" : "the phases before it are " + names_of(known))};
    }
    const std::string path = find_run(options.runs_dir, text.substr(equals + 1));
    if (is_leader) check_earlier(path, earlier);
    if (!runs.emplace(earlier.phase->name, path).second) {
        throw Error{Errc::invalid_input,
                    "phase " + in_quotes(earlier.phase->name) + " has two earlier runs; give one with --earlier"};
    }
}

[[nodiscard]] std::string without_end(std::string text) {
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) text.pop_back();
    return text;
}

/// What the runs have said so far, as one object of JSON.
[[nodiscard]] std::string report_of(const Chain& chain, const std::vector<std::string>& reports) {
    std::string text = "{\n\"pipeline\": \"" + chain.pipeline + "\",\n\"phases\": [";
    for (const std::string& report : reports) text += (&report == &reports.front() ? "\n" : ",\n") + report;
    return text + "\n]\n}";
}

}  // namespace

Plan chosen_phase(const Chain& chain, const RunOptions& options, bool is_leader) {
    if (options.phase.empty()) {
        if (!options.earlier.empty()) {
            throw Error{Errc::invalid_input, "--earlier is for one phase; say with --phase which one, or leave it out"};
        }
        return chain.phases.front();
    }
    const Plan& plan = chain.phase_of(options.phase);
    RunsOfPhases runs;
    for (const std::string& text : options.earlier) add_earlier(chain, plan, options, text, is_leader, runs);
    return plan.phase ? with_results(chain, plan, std::move(runs)) : plan;
}

RunResult run_phases(const Chain& chain, const RunOptions& options, const std::function<RunResult(const Plan&)>& run) {
    RunsOfPhases runs;
    std::vector<std::string> reports;
    RunResult result;
    for (const Plan& plan : chain.phases) {
        RunsOfPhases earlier;
        for (const std::string& phase : earlier_phases(chain, plan)) earlier.emplace(phase, runs.at(phase));
        try {
            result = run(with_results(chain, plan, std::move(earlier)));
        } catch (const Error& error) {
            result = {.exit_code = exit_code(error.code()), .error = error.what()};
        }
        const auto number = plan.phase->number;
        // It came when the last payload had arrived: the phase has succeeded, and it is the next one that is not
        // wanted.
        const bool is_stopped = result.exit_code == 0 && !result.run_dir.empty() && SignalWatch::received() != 0;
        if (is_stopped && number < plan.phase->of) result.exit_code = 128 + SignalWatch::received();
        result.summary = phase_words(plan) + "\n" + result.summary;
        if (!result.report.empty()) reports.push_back(without_end(result.report));
        result.report = report_of(chain, reports);
        if (result.exit_code != 0) {
            std::vector<std::string> left;
            for (const Plan& other : chain.phases) {
                if (other.phase->number > number) left.push_back(other.phase->name);
            }
            const std::string not_started = left.empty() ? "" : "; not started: " + names_of(left);
            if (!result.error.empty()) {
                result.error += "\n  in " + phase_words(plan) + not_started;
            } else if (!left.empty()) {
                result.error = "stopped in " + phase_words(plan) + not_started;
            }
            return result;
        }
        runs.emplace(plan.phase->name, result.run_dir);
        if (options.on_phase_end && number < plan.phase->of) options.on_phase_end(result);
    }
    return result;
}

}  // namespace penstock
