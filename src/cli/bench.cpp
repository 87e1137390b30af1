#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <ostream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "cli/stream_scaling.hpp"

namespace penstock::cli {
namespace {

constexpr std::array method_words{Word<StreamMethod>{"default", StreamMethod::standard},
                                  Word<StreamMethod>{"proxy", StreamMethod::proxy},
                                  Word<StreamMethod>{"leased", StreamMethod::leased}};
constexpr std::array kernel_words{Word<TaskKernel>{"sleep", TaskKernel::sleep},
                                  Word<TaskKernel>{"compute", TaskKernel::compute}};
constexpr double most_tasks = 1e9;
constexpr double longest_task_s = 86'400;

struct StreamScalingArguments {
    std::vector<std::uint64_t> sizes = {};
    std::vector<std::string> methods = {};
    StreamScaling scaling = {};
    double task_count = 0;
    double task_sleep = 0;
    int repeat = 1;
    std::string run_dir = "runs";
    std::string csv_file = "results.csv";
};

[[nodiscard]] std::string now_as_name() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d-%H-%M-%S", &local)};
}

/// <run-dir>/stream-scaling-<date and time>, with a number behind it where that is taken.
[[nodiscard]] std::filesystem::path make_folder(const std::string& parent) {
    const auto wanted = std::filesystem::path{parent} / ("stream-scaling-" + now_as_name());
    std::error_code error;
    std::filesystem::create_directories(parent, error);
    for (int number = 1; !error; ++number) {
        auto folder = wanted;
        if (number > 1) folder += '-' + std::to_string(number);
        if (std::filesystem::create_directory(folder, error)) return folder;
    }
    throw Error{Errc::invalid_input, "--run-dir: " + in_quotes(wanted.string()) +
                                         " cannot be made: " + error.message() + "; name a folder that can be written"};
}

[[nodiscard]] nlohmann::ordered_json row_of(const StreamScaling& scaling, const StreamScalingResult& result) {
    const auto seconds = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e9; };
    const bool leased = scaling.method == StreamMethod::leased;
    return {{"executor", "penstock"},
            {"connector", "shm"},
            {"stream", leased ? "leased" : "central"},
            {"data_size_bytes", scaling.data_size_bytes},
            {"task_count", scaling.task_count},
            {"task_sleep", std::chrono::duration<double>{scaling.task_sleep}.count()},
            {"method", Vocabulary<StreamMethod>{method_words}.name_of(scaling.method)},
            {"workers", scaling.max_workers},
            {"completed_tasks", result.completed_tasks},
            {"start_submit_tasks_timestamp", seconds(result.start_ns)},
            {"end_tasks_done_timestamp", seconds(result.end_ns)},
            {"dispatch_p50_us", result.dispatch_p50_us},
            {"dispatch_p99_us", result.dispatch_p99_us},
            {"rank0_bytes", result.rank0_bytes},
            {"cpu_seconds", result.cpu_seconds}};
}

void write_csv_line(std::ostream& file, const nlohmann::ordered_json& row, bool heading) {
    bool first = true;
    for (const auto& [name, value] : row.items()) {
        if (!std::exchange(first, false)) file << ',';
        if (heading) {
            file << name;
        } else if (value.is_string()) {
            file << value.get<std::string>();
        } else if (value.is_number_float()) {
            file << fmt::format("{:.6f}", value.get<double>());
        } else {
            file << value.get<std::uint64_t>();
        }
    }
    file << std::endl;  // what was measured stays when the next run fails
}

void print_heading(std::ostream& out) {
    out << fmt::format("{:>12}  {:<8}{:>8}{:>8}{:>12}{:>12}{:>14}{:>14}{:>14}{:>9}\n", "bytes", "method", "workers",
                       "tasks", "tasks/s", "MB/s", "dispatch p50", "p99 us", "rank 0 bytes", "cpu s");
}

void print_row(std::ostream& out, const StreamScaling& scaling, const StreamScalingResult& result) {
    const double rate = static_cast<double>(result.completed_tasks) / std::max(result.seconds(), 1e-9);
    out << fmt::format("{:>12}  {:<8}{:>8}{:>8}{:>12.2f}{:>12.2f}{:>14.1f}{:>14.1f}{:>14}{:>9.2f}\n",
                       scaling.data_size_bytes, Vocabulary<StreamMethod>{method_words}.name_of(scaling.method),
                       scaling.max_workers, result.completed_tasks, rate,
                       rate * static_cast<double>(scaling.data_size_bytes) / 1e6, result.dispatch_p50_us,
                       result.dispatch_p99_us, result.rank0_bytes, result.cpu_seconds)
        << std::flush;
}

/// The original takes numbers such as 1e3 for a count.
[[nodiscard]] std::uint64_t whole_count(double count) {
    if (!(count >= 1) || count > most_tasks || count != std::floor(count)) {
        throw Error{Errc::invalid_input,
                    fmt::format("--task-count {} is no number of tasks; use a whole number from 1 to 1e9", count)};
    }
    return static_cast<std::uint64_t>(count);
}

int run_matrix(const Program& program, StreamScalingArguments& arguments) {
    StreamScaling& scaling = arguments.scaling;
    scaling.task_count = whole_count(arguments.task_count);
    scaling.task_sleep =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>{arguments.task_sleep});
    if (scaling.max_workers < 2) {
        throw Error{Errc::invalid_input, fmt::format("--max-workers {} leaves nobody to work: one of them generates; "
                                                     "use 2 or more",
                                                     scaling.max_workers)};
    }
    const auto folder = make_folder(arguments.run_dir);
    scaling.runs_dir = folder.string();
    const auto csv_path = folder / arguments.csv_file;
    std::ofstream csv{csv_path};
    auto rows = nlohmann::ordered_json::array();
    if (!program.json) print_heading(program.out);
    for (const std::uint64_t size : arguments.sizes) {
        scaling.data_size_bytes = size;
        for (const std::string& method : arguments.methods) {
            scaling.method = *Vocabulary<StreamMethod>{method_words}.find(method);
            for (int turn = 0; turn < arguments.repeat; ++turn) {
                const StreamScalingResult result = run_stream_scaling(scaling);
                rows.push_back(row_of(scaling, result));
                if (rows.size() == 1) write_csv_line(csv, rows.back(), true);
                write_csv_line(csv, rows.back(), false);
                if (!program.json) print_row(program.out, scaling, result);
            }
        }
    }
    if (!csv) {
        throw Error{Errc::exhausted,
                    in_quotes(csv_path.string()) + " cannot be written; check --csv-file and the disk"};
    }
    if (program.json) {
        program.out << json_text(rows);
    } else {
        program.out << "results: " << csv_path.string() << '\n';
    }
    return 0;
}

void add_stream_scaling(CLI::App& bench, Program& program) {
    auto* command = bench.add_subcommand(
        "stream-scaling", "ProxyStore's stream-scaling benchmark: a generator, a dispatcher and workers of this node");
    const auto arguments = std::make_shared<StreamScalingArguments>();
    command->add_option("--data-size-bytes", arguments->sizes, "Sizes of a payload, one run of the matrix each")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 36U))
        ->type_name("BYTES")
        ->required();
    command
        ->add_option("--stream-method", arguments->methods,
                     "default: payloads through rank 0; proxy: tickets through rank 0; leased: neither")
        ->check([](const std::string& word) -> std::string {
            const Vocabulary<StreamMethod> methods{method_words};
            if (!methods.find(word)) refuse_choice("--stream-method", word, names_of(methods));
            return {};
        })
        ->type_name(choices_text(names_of(Vocabulary<StreamMethod>{method_words})))
        ->required();
    command->add_option("--max-workers", arguments->scaling.max_workers, "Workers, of which one is the generator")
        ->check(CLI::Range(0, 10'000))
        ->type_name("NUMBER")
        ->required();
    command->add_option("--task-count", arguments->task_count, "Payloads of each run")->type_name("NUMBER")->required();
    command->add_option("--task-sleep", arguments->task_sleep, "Of a task; all workers together set the pace")
        ->check(CLI::Range(0.0, longest_task_s))
        ->type_name("SECONDS")
        ->required();
    add_choice(*command, "--task-kernel", arguments->scaling.kernel, Vocabulary<TaskKernel>{kernel_words},
               "What a task does for that time: nothing, or sums over its bytes");
    command->add_option("--repeat", arguments->repeat, "Runs of each size and method")
        ->check(CLI::Range(1, 10'000))
        ->type_name("NUMBER")
        ->capture_default_str();
    command->add_option("--run-dir", arguments->run_dir, "Where the directory of the benchmark is made")
        ->type_name("DIR")
        ->capture_default_str();
    command->add_option("--csv-file", arguments->csv_file, "The table, inside that directory")
        ->type_name("FILE")
        ->capture_default_str();
    add_json_flag(*command, program, "Print the rows as JSON");
    command->footer(
        examples({"penstock bench stream-scaling --data-size-bytes 100000 1000000 10000000 "
                  "--stream-method default proxy leased --max-workers 4 --task-count 16 --task-sleep 1.0"}));
    command->final_callback(
        [&program, arguments] { program.action = [&program, arguments] { return run_matrix(program, *arguments); }; });
}

}  // namespace

void add_bench(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("bench", "Measure this machine with the benchmarks of others");
    add_stream_scaling(*command, program);
    command->require_subcommand(1);
}

}  // namespace penstock::cli
