#include <algorithm>
#include <array>
#include <deque>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>
#include <penstock/log.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/quote.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "cli/run_argument.hpp"
#include "cli/terminal_text.hpp"
#include "launch/run_record.hpp"
#include "launch/slurm.hpp"

namespace penstock::cli {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr auto look_period = 100ms;
constexpr auto question_period = 500ms;  // whether the run is over, for which its whole status is read

struct LogsArguments {
    RunArgument run = {};
    std::string stage = {};
    int instance = -1;  // all
    LogLevel level = LogLevel::debug;
    std::size_t last = 0;  // all
    bool follow = false;
};

/// A line of a log, or what a process left of one when it ended.
struct Line {
    std::string time = {};  // RFC 3339 in UTC with nine digits: sorts as text
    LogLevel level = LogLevel::info;
    std::string text = {};
};

[[nodiscard]] std::optional<LogLevel> level_of(std::string_view name) noexcept {
    for (const LogLevel each : {LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error}) {
        if (name == name_of(each)) return each;
    }
    return std::nullopt;
}

/// Null for what is no object of JSON.
[[nodiscard]] Json json_of(std::string_view text) {
    if (!is_shallow_json(text)) return {};
    Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) return {};
    return json;
}

/// Time and level from where the log writes them: most lines are never read as JSON.
[[nodiscard]] bool read_beginning(Line& line) {
    constexpr std::string_view before_time = "{\"time\":\"";
    constexpr std::string_view before_level = "\",\"level\":\"";
    std::string_view rest{line.text};
    if (!rest.starts_with(before_time)) return false;
    rest.remove_prefix(before_time.size());
    const auto end_of_time = rest.find_first_of("\"\\");
    if (end_of_time == std::string_view::npos || !rest.substr(end_of_time).starts_with(before_level)) return false;
    const auto word = rest.substr(end_of_time + before_level.size());
    const auto level = level_of(word.substr(0, word.find('"')));
    if (!level) return false;
    line.time = rest.substr(0, end_of_time);
    line.level = *level;
    return true;
}

[[nodiscard]] Line line_of(std::string text) {
    Line line{.text = std::move(text)};
    if (read_beginning(line)) return line;
    const Json json = json_of(line.text);
    const auto word = [&](const char* key) {
        const auto at = json.find(key);
        return at != json.end() && at->is_string() ? at->get<std::string>() : std::string{};
    };
    line.time = word("time");
    line.level = level_of(word("level")).value_or(LogLevel::info);
    return line;
}

/// "20:42:34.123 consumer.0  warn: message  key=value".
[[nodiscard]] std::string text_of(const Line& line) {
    const Json json = json_of(line.text);
    if (json.is_null()) return line.text;
    std::string text;
    std::string fields;
    std::string label;
    for (const auto& [key, value] : json.get_ref<const Json::object_t&>()) {
        const std::string dumped = value.is_string() ? "" : value.dump();
        const std::string& word = value.is_string() ? value.get_ref<const std::string&>() : dumped;
        if (key == "time") {
            const auto start = word.find('T');
            text = start == std::string::npos ? word : word.substr(start + 1, 12);
        } else if (key == "label") {
            label = word;
        } else if (key == "message") {
            fields.insert(0, word);
        } else if (key != "level") {
            fields += "  " + key + "=" + word;
        }
    }
    const std::string mark = line.level >= LogLevel::warn ? std::string{name_of(line.level)} + ": " : "";
    return text + " " + label + "  " + mark + fields;
}

/// The log of one process, read as it grows.
class LogFile {
public:
    explicit LogFile(const fs::path& path) : file_{path, std::ios::binary} {}

    /// The next whole line; nothing if there is none yet. Of one that is longer than any that a run writes, the
    /// beginning.
    [[nodiscard]] std::optional<Line> next() {
        file_.clear();
        for (;;) {
            file_.getline(block_.data(), static_cast<std::streamsize>(block_.size()));
            const auto got = static_cast<std::size_t>(file_.gcount());
            const bool has_end = file_.good();
            if (rest_.size() < longest_line) rest_.append(block_.data(), has_end ? got - 1 : got);
            if (has_end) return line_of(std::exchange(rest_, {}));
            if (file_.eof() || got == 0) return std::nullopt;  // its end is still to come
            file_.clear();
        }
    }
    /// What stands behind the last end of line: the writer was killed, or is writing.
    [[nodiscard]] std::string rest() { return std::exchange(rest_, {}); }

private:
    static constexpr std::size_t longest_line = 1U << 20U;

    std::ifstream file_;
    std::string block_ = std::string(8U << 10U, '\0');
    std::string rest_;
};

class Logs {
public:
    Logs(const Program& program, const LogsArguments& arguments) : program_{program}, arguments_{arguments} {
        path_ = arguments.run.find();
        open();
        if (files_.empty() && (!arguments.stage.empty() || arguments.instance >= 0)) refuse();
    }

    int show() {
        if (arguments_.last == 0) {
            merge([&](const Line& line) { print(line); });
        } else {
            std::deque<Line> last;
            merge([&](Line line) {
                last.push_back(std::move(line));
                if (last.size() > arguments_.last) last.pop_front();
            });
            for (const Line& line : last) print(line);
        }
        if (arguments_.follow) follow();
        for (auto& file : files_) {
            if (const std::string rest = file.rest(); !rest.empty()) program_.out << without_controls(rest) << '\n';
        }
        program_.out.flush();
        return 0;
    }

private:
    [[nodiscard]] bool is_wanted(const std::string& label) const {
        const auto dot = label.rfind('.');
        const std::string stage = label.substr(0, dot);
        if (!arguments_.stage.empty() && stage != arguments_.stage) return false;
        return arguments_.instance < 0 ||
               (dot != std::string::npos && label.substr(dot + 1) == std::to_string(arguments_.instance));
    }

    void open() {
        std::vector<std::string> labels;
        std::error_code failed;
        for (fs::directory_iterator at{fs::path{path_} / "logs", failed}, end; !failed && at != end;
             at.increment(failed)) {
            std::error_code none;
            if (at->path().extension() == ".jsonl" && at->is_regular_file(none))
                labels.push_back(at->path().stem().string());
        }
        if (failed) {
            throw Error{Errc::invalid_input,
                        "cannot read the logs of " + path_in_quotes(path_) + ": " + failed.message()};
        }
        std::sort(labels.begin(), labels.end());
        for (const std::string& label : labels) {
            const bool is_new = std::find(labels_.begin(), labels_.end(), label) == labels_.end();
            if (!is_new) continue;
            labels_.push_back(label);
            if (is_wanted(label)) files_.emplace_back(fs::path{path_} / "logs" / (label + ".jsonl"));
        }
    }

    [[noreturn]] void refuse() const {
        std::string names;
        for (const std::string& label : labels_) names += (names.empty() ? "" : ", ") + label;
        throw Error{Errc::invalid_input,
                    "there is no log of " +
                        (arguments_.stage.empty() ? std::string{"instance "} : in_quotes(arguments_.stage)) +
                        (arguments_.instance < 0
                             ? ""
                             : (arguments_.stage.empty() ? "" : " instance ") + std::to_string(arguments_.instance)) +
                        "; there are: " + names};
    }

    /// By time: each file is in order.
    template <class Take>
    void merge(Take take) {
        struct Front {
            Line line;
            std::size_t file;
        };
        const auto later = [](const Front& a, const Front& b) {
            return a.line.time != b.line.time ? a.line.time > b.line.time : a.file > b.file;
        };
        std::vector<Front> fronts;  // a heap
        const auto read = [&](std::size_t file) {
            auto line = files_[file].next();
            if (!line) return;
            fronts.push_back({std::move(*line), file});
            std::push_heap(fronts.begin(), fronts.end(), later);
        };
        for (std::size_t file = 0; file < files_.size(); ++file) read(file);
        while (!fronts.empty() && program_.out) {
            std::pop_heap(fronts.begin(), fronts.end(), later);
            Front front = std::move(fronts.back());
            fronts.pop_back();
            read(front.file);
            if (front.line.level >= arguments_.level) take(std::move(front.line));
        }
    }

    void follow() {
        SlurmAnswers slurm;
        auto next_question = SteadyClock::now();
        for (;;) {
            bool is_over = false;
            if (SteadyClock::now() >= next_question) {
                // Asked first: what it says last is then read.
                is_over = read_run(path_, slurm).is_over();
                next_question = SteadyClock::now() + question_period;
            }
            open();
            merge([&](const Line& line) { print(line); });
            program_.out.flush();
            if (is_over || !program_.out) return;
            std::this_thread::sleep_for(look_period);
        }
    }

    void print(const Line& line) const {
        program_.out << (program_.json ? line.text : without_controls(text_of(line))) << '\n';
    }

    const Program& program_;
    const LogsArguments& arguments_;
    std::string path_;
    std::vector<std::string> labels_;
    std::deque<LogFile> files_;
};

}  // namespace

void add_logs(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("logs", "Show the logs of a run in the order of time");
    const auto arguments = std::make_shared<LogsArguments>();
    add_run_argument(*command, arguments->run);
    command->add_option("--stage", arguments->stage, "Only this stage, or \"coordinator\"")->type_name("STAGE");
    command->add_option("--instance", arguments->instance, "Only instances of this number")
        ->check(CLI::NonNegativeNumber)
        ->type_name("NUMBER");
    add_choice(*command, "--level", arguments->level, Vocabulary<LogLevel>{level_words}, "Least level that is shown");
    command->add_option("--last", arguments->last, "Only so many lines, the last ones")
        ->check(CLI::PositiveNumber)
        ->type_name("NUMBER");
    command->add_flag("-f,--follow", arguments->follow, "Go on until the run is over");
    add_json_flag(*command, program, "Print the lines as they are in the files");
    command->footer(examples(
        {"penstock logs", "penstock logs streaming-demo --stage consumer -f", "penstock logs --level warn --last 20"}));
    command->final_callback([&program, arguments] {
        program.action = [&program, arguments] { return Logs{program, *arguments}.show(); };
    });
}

}  // namespace penstock::cli
