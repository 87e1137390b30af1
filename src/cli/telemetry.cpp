#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "base/time_text.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "operators/telemetry/generator.hpp"
#include "operators/telemetry/store.hpp"

namespace penstock::cli {
namespace {

enum class TelemetryFormat : std::uint8_t { csv, json };
constexpr std::array telemetry_format_words{Word<TelemetryFormat>{"csv", TelemetryFormat::csv},
                                            Word<TelemetryFormat>{"json", TelemetryFormat::json}};

struct TelemetryArguments {
    std::vector<std::string> sources = {};
    telemetry::Query query = {};
    std::string from = {};
    std::string to = {};
    TelemetryFormat format = TelemetryFormat::csv;
};

/// The stores that a file, a run directory or a folder of results stands for.
std::vector<std::string> stores_of(const std::vector<std::string>& sources) {
    std::vector<std::string> stores;
    for (const std::filesystem::path source : sources) {
        if (!std::filesystem::is_directory(source)) {
            stores.push_back(source.string());
            continue;
        }
        const std::size_t before = stores.size();
        const auto results = source / "results";
        for (const auto& entry :
             std::filesystem::directory_iterator{std::filesystem::is_directory(results) ? results : source}) {
            if (entry.path().extension() == ".h5") stores.push_back(entry.path().string());
        }
        if (stores.size() == before) {
            throw Error{Errc::invalid_input, "there is no telemetry in " + in_quotes(source.string()) +
                                                 "; name an HDF5 file or the directory of a run"};
        }
    }
    std::sort(stores.begin(), stores.end());
    return stores;
}

std::int64_t time_argument(const std::string& option, const std::string& text, std::int64_t fallback) {
    if (text.empty()) return fallback;
    if (const auto ns = parse_time(text)) return *ns;
    throw Error{Errc::invalid_input,
                option + ": " + in_quotes(text) + " is no RFC 3339 time such as 2025-07-18T20:42:34Z"};
}

/// Quoted if it has to be (RFC 4180).
std::string csv_field(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string{text};
    std::string field = "\"";
    for (const char c : text) field += c == '"' ? "\"\"" : std::string(1, c);
    return field + '"';
}

nlohmann::ordered_json json_of(const telemetry::Gpu& gpu) {
    nlohmann::ordered_json json{{"uuid", gpu.uuid},
                                {"device_id", gpu.device_id},
                                {"gpu_index", gpu.gpu_index},
                                {"model_name", gpu.model_name},
                                {"hostname", gpu.hostname}};
    if (!gpu.container.empty()) json["container"] = gpu.container;
    if (!gpu.pod.empty()) json["pod"] = gpu.pod;
    if (!gpu.kubernetes_namespace.empty()) json["namespace"] = gpu.kubernetes_namespace;
    return json;
}

int show_gpus(const Program& program, const TelemetryArguments& arguments) {
    const auto gpus = telemetry::read_gpus(stores_of(arguments.sources));
    if (arguments.format == TelemetryFormat::json) {
        auto json = nlohmann::ordered_json::array();
        for (const auto& gpu : gpus) json.push_back(json_of(gpu));
        program.out << json_text(json);
        return 0;
    }
    program.out << "uuid,device_id,gpu_index,model_name,hostname,container,pod,namespace\n";
    for (const auto& gpu : gpus) {
        program.out << fmt::format("{},{},{},{},{},{},{},{}\n", csv_field(gpu.uuid), csv_field(gpu.device_id),
                                   csv_field(gpu.gpu_index), csv_field(gpu.model_name), csv_field(gpu.hostname),
                                   csv_field(gpu.container), csv_field(gpu.pod), csv_field(gpu.kubernetes_namespace));
    }
    return 0;
}

std::string json_line(const telemetry::Reading& reading) {
    nlohmann::ordered_json object{{"timestamp", time_text(reading.time_ns)},
                                  {"gpu_uuid", reading.gpu_uuid},
                                  {"metric_name", reading.metric_name},
                                  {"value", nullptr}};
    if (std::isfinite(reading.value)) object["value"] = reading.value;
    if (!reading.labels_raw.empty()) object["labels_raw"] = reading.labels_raw;
    return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string csv_line(const telemetry::Reading& reading) {
    return fmt::format("{},{},{},{}\n", time_text(reading.time_ns), csv_field(reading.gpu_uuid),
                       csv_field(reading.metric_name),
                       std::isnan(reading.value) ? "" : fmt::format("{}", reading.value));
}

/// The answer goes out as it is read. A store that turns out to be broken on the way ends it: what was printed is
/// right, JSON lacks its last bracket, and the exit code is not 0.
int query_values(const Program& program, TelemetryArguments& arguments) {
    arguments.query.from_ns = time_argument("--from", arguments.from, arguments.query.from_ns);
    arguments.query.to_ns = time_argument("--to", arguments.to, arguments.query.to_ns);
    const bool json = arguments.format == TelemetryFormat::json;
    arguments.query.labels = json;
    telemetry::Readings readings{stores_of(arguments.sources), arguments.query};
    program.out << (json ? "[" : "timestamp,gpu_uuid,metric_name,value\n");
    bool first = true;
    readings.tell([&](const telemetry::Reading& reading) {
        if (json) {
            program.out << (first ? "\n" : ",\n") << json_line(reading);
        } else {
            program.out << csv_line(reading);
        }
        first = false;
        return program.out.good();
    });
    if (json) program.out << (first ? "]\n" : "\n]\n");
    return 0;
}

int generate_file(const Program& program, const telemetry::GeneratedFile& file) {
    const std::uint64_t rows = telemetry::generate(file);
    program.out << file.path << ": " << rows << " rows of " << file.gpus << " GPUs, "
                << std::min<std::uint64_t>(file.metrics, telemetry::metric_names().size()) << " metrics, " << file.times
                << " seconds\n";
    return 0;
}

void add_sources(CLI::App& command, TelemetryArguments& arguments) {
    command.add_option("source", arguments.sources, "Files of telemetry_collector, or directories of runs")
        ->type_name("FILE|DIR")
        ->required();
    add_choice(command, "--format", arguments.format, Vocabulary<TelemetryFormat>{telemetry_format_words},
               "Of the answer");
}

void add_gpus(CLI::App& telemetry, Program& program) {
    auto* command = telemetry.add_subcommand("gpus", "List the GPUs that telemetry was collected of");
    const auto arguments = std::make_shared<TelemetryArguments>();
    add_sources(*command, *arguments);
    command->final_callback(
        [&program, arguments] { program.action = [&program, arguments] { return show_gpus(program, *arguments); }; });
}

void add_query(CLI::App& telemetry, Program& program) {
    auto* command = telemetry.add_subcommand("query", "Print collected values, by metric and time");
    const auto arguments = std::make_shared<TelemetryArguments>();
    add_sources(*command, *arguments);
    command->add_option("--gpu", arguments->query.gpu, "Of this GPU only")->type_name("UUID");
    command->add_option("--metric", arguments->query.metric, "Of this metric only")->type_name("NAME");
    command->add_option("--from", arguments->from, "From this time on, RFC 3339")->type_name("TIME");
    command->add_option("--to", arguments->to, "Before this time, RFC 3339")->type_name("TIME");
    command->footer(examples({"penstock telemetry query runs/telemetry-0001 --metric DCGM_FI_DEV_GPU_TEMP",
                              "penstock telemetry query telemetry.h5 --gpu GPU-5fd4f087-86f3-7a43-b711-4771313afc50 "
                              "--from 2025-07-18T20:42:00Z --format json"}));
    command->final_callback([&program, arguments] {
        program.action = [&program, arguments] { return query_values(program, *arguments); };
    });
}

void add_generate(CLI::App& telemetry, Program& program) {
    auto* command = telemetry.add_subcommand("generate", "Make a DCGM metrics file of any size");
    const auto file = std::make_shared<telemetry::GeneratedFile>();
    command->add_option("file", file->path, "CSV file to write")->type_name("FILE")->required();
    const auto number = [&](const char* name, std::uint64_t& into, std::uint64_t most, const char* help) {
        command->add_option(name, into, help)
            ->check(CLI::Range(std::uint64_t{1}, most))
            ->type_name("NUMBER")
            ->capture_default_str();
    };
    number("--gpus", file->gpus, 1'000'000, "GPUs, eight a host");
    number("--metrics", file->metrics, telemetry::metric_names().size(), "Metrics of each GPU");
    number("--times", file->times, 1'000'000'000, "Values of each metric, one second apart");
    command->add_option("--seed", file->seed, "Other values for another number")
        ->type_name("NUMBER")
        ->capture_default_str();
    command->add_flag("!--no-labels", file->labels, "Leave labels_raw empty, for rows of a third of the length");
    command->footer(examples({"penstock telemetry generate metrics.csv --gpus 64 --times 1000"}));
    command->final_callback(
        [&program, file] { program.action = [&program, file] { return generate_file(program, *file); }; });
}

}  // namespace

void add_telemetry(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("telemetry", "Look into collected GPU telemetry, or make a file of it");
    add_gpus(*command, program);
    add_query(*command, program);
    add_generate(*command, program);
    command->require_subcommand(1);
}

}  // namespace penstock::cli
