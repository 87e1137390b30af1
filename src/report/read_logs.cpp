#include "report/read_logs.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/quote.hpp"
#include "base/time_text.hpp"
#include "report/json_values.hpp"

namespace penstock::report {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t block_bytes = 64U << 10U;
constexpr std::size_t longest_line = 1U << 20U;
constexpr std::size_t most_messages_of_a_log = 100;
constexpr std::string_view time_key = "{\"time\":\"";  // as the log writes it

/// Calls with every line, also with one that the writer has not ended. Of a longer line than `longest_line` the
/// beginning.
template <class Take>
[[nodiscard]] bool for_each_line(const fs::path& path, Take take) {
    std::ifstream file{path, std::ios::binary};
    if (!file) return false;
    std::string block(block_bytes, '\0');
    std::string rest;
    while (file) {
        file.read(block.data(), static_cast<std::streamsize>(block.size()));
        std::string_view text{block.data(), static_cast<std::size_t>(file.gcount())};
        for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
            if (rest.empty()) {
                take(text.substr(0, end));
            } else {
                take(std::string_view{rest.append(text.substr(0, end))});
                rest.clear();
            }
            text.remove_prefix(end + 1);
        }
        if (rest.size() < longest_line) rest.append(text);
    }
    if (!rest.empty()) take(std::string_view{rest});
    return !file.bad();
}

/// Without reading the whole line as JSON.
[[nodiscard]] std::optional<std::int64_t> time_of(std::string_view line) noexcept {
    if (!line.starts_with(time_key)) return std::nullopt;
    line.remove_prefix(time_key.size());
    const auto end = line.substr(0, max_time_text + 8).find('"');
    return end == std::string_view::npos ? std::nullopt : parse_time(line.substr(0, end));
}

[[nodiscard]] Json json_of(std::string_view line) {
    if (!is_shallow_json(line)) return {};
    Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) return {};
    return json;
}

/// The message and its fields, without what stands in columns of their own.
[[nodiscard]] std::string message_of(const Json& json) {
    std::string text = word(json, "message");
    for (const auto& [key, value] : json.items()) {
        if (key == "time" || key == "level" || key == "label" || key == "message") continue;
        text += "  " + key + "=" + text_of(value);
    }
    return text;
}

class LogReader {
public:
    LogReader(RunReport& report, std::string label) : report_{report}, log_{.label = std::move(label)} {}

    void read(const fs::path& path) {
        const bool whole = for_each_line(path, [&](std::string_view line) { take(line); });
        if (!whole) report_.problems.push_back("logs/" + path.filename().string() + " cannot be read to its end");
        if (log_.broken > 0) {
            report_.problems.push_back("logs/" + path.filename().string() + ": " + std::to_string(log_.broken) +
                                       " lines are no JSON; a process that is killed leaves half a line");
        }
        report_.logs.push_back(std::move(log_));
    }

private:
    void take(std::string_view line) {
        if (line.empty()) return;
        ++log_.lines;
        const auto time = time_of(line);
        if (time) {
            if (log_.first_ns == 0) log_.first_ns = *time;
            log_.last_ns = std::max(log_.last_ns, *time);
        }
        const bool is_whole = line.front() == '{' && line.back() == '}';
        if (!is_whole) {
            ++log_.broken;
            return;
        }
        // The text of a message cannot look like this: its quotes are escaped.
        if (line.find(R"("level":"warn")") != std::string_view::npos) add(line, time.value_or(0), false);
        if (line.find(R"("level":"error")") != std::string_view::npos) add(line, time.value_or(0), true);
    }

    void add(std::string_view line, std::int64_t time, bool is_error) {
        ++(is_error ? log_.errors : log_.warnings);
        if (kept_ >= most_messages_of_a_log && !is_error) return;
        if (kept_ >= 2 * most_messages_of_a_log) return;
        const Json json = json_of(line);
        if (json.is_null()) {
            ++log_.broken;
            return;
        }
        ++kept_;
        report_.messages.push_back(
            {.label = log_.label, .time_ns = time, .is_error = is_error, .text = message_of(json)});
    }

    RunReport& report_;
    LogFigures log_;
    std::size_t kept_ = 0;
};

}  // namespace

void read_logs(RunReport& report) {
    std::vector<fs::path> paths;
    std::error_code failed;
    for (fs::directory_iterator at{fs::path{report.run.path} / "logs", failed}, end; !failed && at != end;
         at.increment(failed)) {
        std::error_code none;
        if (at->path().extension() == ".jsonl" && at->is_regular_file(none)) paths.push_back(at->path());
    }
    if (failed) report.problems.push_back("the logs cannot be read: " + failed.message());
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) LogReader{report, path.stem().string()}.read(path);

    const auto earlier = [](const LogMessage& a, const LogMessage& b) { return a.time_ns < b.time_ns; };
    auto& messages = report.messages;
    std::stable_sort(messages.begin(), messages.end(), earlier);
    if (messages.size() <= RunReport::most_messages) return;
    // Errors say more than warnings, and the first of them most.
    std::stable_partition(messages.begin(), messages.end(), [](const LogMessage& each) { return each.is_error; });
    messages.resize(RunReport::most_messages);
    std::stable_sort(messages.begin(), messages.end(), earlier);
}

}  // namespace penstock::report
