#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/format.hpp"
#include "base/quote.hpp"
#include "base/table.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "doctor/job_peers.hpp"
#include "launch/threshold_file.hpp"

namespace penstock::cli {
namespace {

using doctor::TunedThreshold;
using doctor::TunedTransport;
using doctor::TuningAnswer;
using doctor::TuningFigure;
using Json = nlohmann::ordered_json;

constexpr double default_seconds = 6;

enum class Tuned : std::uint8_t { all, ucx, ofi, mpi };
constexpr std::array tuned_words{Word<Tuned>{"all", Tuned::all}, Word<Tuned>{"ucx", Tuned::ucx},
                                 Word<Tuned>{"ofi", Tuned::ofi}, Word<Tuned>{"mpi", Tuned::mpi}};
constexpr Vocabulary<Tuned> tuned_transports{tuned_words};

struct TuneArguments {
    std::string output = {};
    double seconds = default_seconds;
    Tuned transport = Tuned::all;
};

[[nodiscard]] Json figures_json(const TunedTransport& transport, const std::string& hosts) {
    Json json{{"between", hosts}, {"thresholds", Json::array()}};
    for (const TunedThreshold& each : transport.details) {
        Json tried = Json::array();
        for (const TuningFigure& figure : each.figures) {
            tried.push_back({{"value", figure.value},
                             {"bytes_per_s", figure.bytes_per_s},
                             {"ratio", figure.ratio},
                             {"rounds_won", figure.wins}});
        }
        json["thresholds"].push_back(
            {{"name", each.name}, {"built_in", each.built_in}, {"chosen", each.chosen}, {"tried", std::move(tried)}});
    }
    return json;
}

[[nodiscard]] std::string value_text(std::string_view name, std::uint32_t value) {
    const auto* const threshold = std::ranges::find(all_thresholds, name, &Threshold::name);
    return threshold->is_size ? format_bytes(value) : std::to_string(value);
}

[[nodiscard]] std::string tried_text(const TunedThreshold& threshold) {
    std::string text;
    for (const TuningFigure& each : threshold.figures) {
        text +=
            fmt::format("{}{} x{:.2f}", text.empty() ? "" : ", ", value_text(threshold.name, each.value), each.ratio);
    }
    return text;
}

[[nodiscard]] std::string table_of(const TuningAnswer& answer) {
    Table table{{"transport", "threshold", "built in", "chosen", "tried"}};
    for (const TunedTransport& transport : answer.transports) {
        for (const TunedThreshold& each : transport.details) {
            table.add({transport.transport, std::string{each.name}, value_text(each.name, each.built_in),
                       value_text(each.name, each.chosen), tried_text(each)});
        }
    }
    return table.text();
}

int tell(const Program& program, const std::string& path, const TuningAnswer& answer) {
    std::vector<MeasuredEntry> entries;
    for (const TunedTransport& each : answer.transports) {
        entries.push_back(
            {.transport = each.transport,
             .measured_for = each.measured_for,
             .thresholds = each.thresholds,
             .figures = figures_json(each, answer.hosts).dump(-1, ' ', false, Json::error_handler_t::replace)});
    }
    const std::string remark = save_thresholds(path, entries);
    if (program.json) {
        ThresholdFile file;
        for (MeasuredEntry& each : entries) file.put(std::move(each));
        Json json = Json::parse(file.text());
        json["file"] = path;
        program.out << json_text(json);
        return 0;
    }
    program.out << table_of(answer) << "\nmeasured between " << answer.hosts
                << "; x1.00 is the built-in value, and for inline_bytes a fetch\n";
    for (const std::string& note : answer.notes) program.out << note << '\n';
    if (answer.is_loopback) {
        program.out << "both ranks are on one host: the values hold for runs on one host, not between hosts\n";
    }
    if (!remark.empty()) program.out << remark << '\n';
    program.out << "written to " << path << '\n';
    return 0;
}

int measure(const Program& program, const TuneArguments& arguments) {
    using Seconds = std::chrono::duration<double>;
    std::string path = arguments.output;
    if (path.empty()) path = ThresholdPlace::from_environment().path;
    if (path.empty()) {
        throw Error{
            Errc::invalid_input,
            "there is no place for the file: PENSTOCK_TUNING is off, or neither XDG_CACHE_HOME nor HOME is set; "
            "name one with --output"};
    }
    doctor::TuningOptions options{.time =
                                      std::chrono::duration_cast<std::chrono::nanoseconds>(Seconds{arguments.seconds})};
    if (arguments.transport != Tuned::all) options.transports = {tuned_transports.name_of(arguments.transport)};
    return doctor::tune_job(options, [&](const TuningAnswer& answer) { return tell(program, path, answer); });
}

}  // namespace

void add_tune(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("tune", "Measure in a job at which sizes transports do what, for later runs");
    const auto arguments = std::make_shared<TuneArguments>();
    command
        ->add_option("--output", arguments->output,
                     "The file that keeps the values [PENSTOCK_TUNING, else penstock/transports.json in the cache]")
        ->type_name("FILE");
    command->add_option("--seconds", arguments->seconds, "For all transports together, about")
        ->type_name("SECONDS")
        ->check(CLI::Range(0.1, 600.0))
        ->capture_default_str();
    add_choice(*command, "--transport", arguments->transport, tuned_transports, "Only this one");
    add_json_flag(*command, program, "Print the values and what was measured as JSON");
    command->footer(examples({"mpirun -n 2 --map-by node penstock tune", "srun -N 2 -n 2 --mpi=pmix penstock tune",
                              "mpirun -n 2 penstock tune --transport ucx --output ucx.json"}) +
                    "\n\nRuns look for the file there; PENSTOCK_TUNING names another one, or is off.");
    command->final_callback(
        [&program, arguments] { program.action = [&program, arguments] { return measure(program, *arguments); }; });
}

}  // namespace penstock::cli
