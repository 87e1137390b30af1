#include "launch/run_record.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <penstock/error.hpp>
#include <penstock/runtime.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "launch/run_directory.hpp"
#include "launch/slurm.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* request_file = "request";

/// Null if it is not there or no object of JSON.
[[nodiscard]] Json json_of(const std::optional<std::string>& text) {
    if (!text || !is_shallow_json(*text)) return {};
    Json json = Json::parse(*text, nullptr, false);
    if (!json.is_object()) return {};
    return json;
}

/// Whether it is a whole number that this type can hold.
template <class T>
[[nodiscard]] bool is_whole(const Json& json) {
    if (json.is_number_unsigned()) return std::in_range<T>(json.get<std::uint64_t>());
    return json.is_number_integer() && std::in_range<T>(json.get<std::int64_t>());
}

/// Its value if it is there and of that kind.
template <class T>
[[nodiscard]] T value_of(const Json& json, const char* key, T fallback) {
    const auto at = json.find(key);
    if (at == json.end()) return fallback;
    if constexpr (std::is_same_v<T, std::string>)
        return at->is_string() ? at->get<std::string>() : fallback;
    else if constexpr (std::is_floating_point_v<T>)
        return at->is_number() ? at->get<T>() : fallback;
    else
        return is_whole<T>(*at) ? at->get<T>() : fallback;
}

/// What a process can end with; that of a failure where the file says that there was one, and no such code.
[[nodiscard]] int exit_code_in(const Json& status, const std::string& state) {
    constexpr int largest = 255;
    const int failed = exit_code(Errc::failed);
    const int code = value_of<int>(status, "exit_code", status.contains("exit_code") ? failed : 0);
    const bool has_failed = state == "failed" || state == "cancelled";
    return code < 0 || code > largest || (code == 0 && has_failed) ? failed : code;
}

[[nodiscard]] bool is_run(const fs::path& path) {
    std::error_code none;
    return fs::is_regular_file(path / "plan.json", none) || fs::is_regular_file(path / "run.json", none);
}

/// How long ago it was written; nothing if it is not there.
[[nodiscard]] std::optional<std::chrono::nanoseconds> age_of(const fs::path& path) {
    std::error_code failed;
    const auto time = fs::last_write_time(path, failed);
    if (failed) return std::nullopt;
    return fs::file_time_type::clock::now() - time;
}

/// It may have ended between the two looks at it.
[[nodiscard]] bool has_said_how_it_ended(const RunRecord& run) {
    const auto last = json_of(run_file_text(run.path + "/status.json"));
    const auto state = value_of<std::string>(last, "state", run.state);
    return state == "completed" || state == "failed" || state == "cancelled";
}

/// A run that says that it goes on.
void check_life(RunRecord& run, SlurmAnswers& slurm) {
    if (run.coordinator.is_in_reach()) {
        if (run.coordinator.is_alive() || has_said_how_it_ended(run)) return;
        run.state = "lost";
        run.note = fmt::format("its coordinator, process {} of {}, is gone and has not said how the run ended",
                               run.coordinator.pid, run.coordinator.host);
        return;
    }
    const auto end = slurm.end_of({run.slurm_job, run.slurm_cluster, run.slurm_restart});
    if (!end.empty()) {
        if (has_said_how_it_ended(run)) return;
        run.state = "lost";
        run.note = fmt::format("its Slurm job {} {}, and nothing says how the run ended", run.slurm_job, end);
        return;
    }
    const auto age =
        std::min({age_of(fs::path{run.path} / "status.json"), age_of(fs::path{run.path} / "run.json"),
                  age_of(fs::path{run.path} / "plan.json")},
                 [](const auto& a, const auto& b) {
                     return a.value_or(std::chrono::nanoseconds::max()) < b.value_or(std::chrono::nanoseconds::max());
                 });
    if (age && *age < RunRecord::silent_after) return;
    run.state = "silent";
    run.note = fmt::format("it has not been heard of for {} s; its coordinator is process {} of {}",
                           age ? std::chrono::duration_cast<std::chrono::seconds>(*age).count() : 0,
                           run.coordinator.pid, run.coordinator.host.empty() ? "?" : run.coordinator.host);
}

[[nodiscard]] RunRecord::Phase phase_of(const Json& about) {
    const auto at = about.find("phase");
    if (at == about.end() || !at->is_object()) return {};
    RunRecord::Phase phase{.name = value_of<std::string>(*at, "name", ""),
                           .number = value_of<std::uint64_t>(*at, "number", 0),
                           .of = value_of<std::uint64_t>(*at, "of", 0)};
    const auto runs = at->find("runs");
    if (runs == at->end() || !runs->is_object()) return phase;
    for (const auto& [name, path] : runs->items()) {
        if (path.is_string()) phase.earlier.emplace_back(name, path.get<std::string>());
    }
    return phase;
}

/// A path of a run that this user may not read is not to be taken for a name.
void refuse_what_is_hidden(std::string_view word) {
    if (word.find('/') == std::string_view::npos) return;
    if (access((fs::path{word} / "run.json").c_str(), R_OK) == 0 || errno != EACCES) return;
    throw Error{Errc::invalid_input, path_in_quotes(word) + " cannot be read: " + std::strerror(EACCES) +
                                         "; a run directory is its owner's alone, who can mail you `penstock report`"};
}

[[nodiscard]] std::string names_of_newest(const std::vector<std::string>& runs) {
    constexpr std::size_t most = 5;
    std::string text;
    for (std::size_t i = 0; i < std::min(runs.size(), most); ++i) {
        text += (i == 0 ? "" : ", ") + fs::path{runs[i]}.filename().string();
    }
    return text + (runs.size() > most ? ", ..." : "");
}

}  // namespace

std::optional<std::string> run_file_text(const std::string& path) {
    std::error_code none;
    if (!fs::is_regular_file(path, none)) return std::nullopt;
    // No run has that much to say.
    constexpr std::uintmax_t longest = std::uintmax_t{512} << 20U;
    if (fs::file_size(path, none) > longest) return std::nullopt;
    std::ifstream file{path, std::ios::binary};
    if (!file) return std::nullopt;
    std::string text;
    for (std::string block(64U << 10U, '\0'); file;) {
        file.read(block.data(), static_cast<std::streamsize>(block.size()));
        text.append(block.data(), static_cast<std::size_t>(file.gcount()));
    }
    return file.bad() ? std::nullopt : std::optional{std::move(text)};
}

std::string RunRecord::name() const {
    return fs::path{path}.filename().string();
}

std::string RunRecord::phase_words() const {
    return phase.name.empty() ? "" : fmt::format("phase {} ({} of {})", phase.name, phase.number, phase.of);
}

bool RunRecord::is_over() const noexcept {
    return state == "completed" || state == "failed" || state == "cancelled" || state == "lost" || state == "unknown";
}

int RunRecord::end_code() const noexcept {
    return state == "lost" ? penstock::exit_code(Errc::disconnected) : exit_code;
}

bool is_shallow_json(std::string_view text) noexcept {
    constexpr int deepest = 100;
    int depth = 0;
    bool is_quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (is_quoted && c == '\\') {
            ++i;
        } else if (c == '"') {
            is_quoted = !is_quoted;
        } else if (!is_quoted && (c == '{' || c == '[')) {
            if (++depth > deepest) return false;
        } else if (!is_quoted && (c == '}' || c == ']')) {
            --depth;
        }
    }
    return true;
}

RunRecord read_run(const std::string& path) {
    SlurmAnswers slurm;
    return read_run(path, slurm);
}

RunRecord read_run(const std::string& path, SlurmAnswers& slurm) {
    RunRecord run{.path = path};
    const Json about = json_of(run_file_text(path + "/run.json"));
    run.pipeline = value_of<std::string>(about, "pipeline", "");
    run.started_at = value_of<std::string>(about, "started_at", "");
    run.coordinator = {.host = value_of<std::string>(about, "host", ""),
                       .world = value_of<std::string>(about, "world", ""),
                       .pid = value_of<std::int64_t>(about, "pid", 0),
                       .started = value_of<std::uint64_t>(about, "process_started", 0)};
    run.slurm_job = value_of<std::string>(about, "slurm_job_id", "");
    run.slurm_cluster = value_of<std::string>(about, "slurm_cluster", "");
    run.slurm_restart = value_of<int>(about, "slurm_restart", 0);
    run.phase = phase_of(about);

    auto text = run_file_text(path + "/status.json");
    const Json status = json_of(text);
    if (status.is_null() && (text || about.is_null())) {
        run.state = "unknown";
        run.note = text ? "status.json is broken" : "there is neither a status.json nor a run.json that can be read";
        return run;
    }
    if (!status.is_null()) run.status = std::move(*text);
    run.state = value_of<std::string>(status, "state", "starting");
    if (run.pipeline.empty()) run.pipeline = value_of<std::string>(status, "pipeline", "");
    run.exit_code = exit_code_in(status, run.state);
    run.error = value_of<std::string>(status, "error", "");
    constexpr double longest_s = 1e9;  // 30 years: no run takes more
    run.elapsed_s = std::clamp(value_of<double>(status, "elapsed_s", 0.0), 0.0, longest_s);
    if (!run.is_over()) check_life(run, slurm);
    return run;
}

std::vector<std::string> list_runs(const std::string& runs_dir) {
    struct Found {
        fs::file_time_type made;
        std::string path;
    };
    std::vector<Found> found;
    std::error_code failed;
    for (fs::directory_iterator at{fs::absolute(runs_dir), failed}, end; !failed && at != end; at.increment(failed)) {
        if (!is_run(at->path())) continue;
        // Written once, at the start.
        std::error_code none;
        const auto made = fs::last_write_time(at->path() / "plan.json", none);
        found.push_back({none ? fs::file_time_type::max() : made, at->path().lexically_normal().string()});
    }
    std::sort(found.begin(), found.end(),
              [](const Found& a, const Found& b) { return a.made != b.made ? a.made > b.made : a.path > b.path; });
    std::vector<std::string> paths;
    for (Found& each : found) paths.push_back(std::move(each.path));
    return paths;
}

std::string find_run_of_job(const std::string& runs_dir, std::string_view job) {
    for (const std::string& path : list_runs(runs_dir)) {
        if (value_of<std::string>(json_of(run_file_text(path + "/run.json")), "slurm_job_id", "") == job) return path;
    }
    return {};
}

std::string find_run(const std::string& runs_dir, std::string_view word) {
    std::error_code none;
    const fs::path as_path{word};
    if (!word.empty() && is_run(as_path)) {
        // "runs/demo-1/" is named as "runs/demo-1" is.
        const fs::path whole = fs::absolute(as_path, none).lexically_normal();
        return (whole.has_filename() ? whole : whole.parent_path()).string();
    }
    refuse_what_is_hidden(word);
    const auto runs = list_runs(runs_dir);
    if (runs.empty()) {
        throw Error{Errc::invalid_input, "there is no run in " + path_in_quotes(runs_dir) +
                                             "; name the directory of a run, or the folder of the runs with "
                                             "--runs-dir"};
    }
    if (word.empty()) return runs.front();
    std::vector<std::string> matches;
    for (const std::string& run : runs) {
        const std::string name = fs::path{run}.filename().string();
        if (name == word) return run;
        // The id of a job is never the beginning of a name: the run of another pipeline would stand for the job.
        if (name.starts_with(word) && !is_job_id(word)) matches.push_back(run);
    }
    if (matches.size() == 1) return matches.front();
    if (is_job_id(word)) {
        if (std::string of_job = find_run_of_job(runs_dir, word); !of_job.empty()) return of_job;
    }
    if (matches.empty()) {
        throw Error{Errc::invalid_input, "there is no run " + in_quotes(word) + " in " + path_in_quotes(runs_dir) +
                                             "; the newest are " + names_of_newest(runs)};
    }
    throw Error{Errc::invalid_input, in_quotes(word) + " is the beginning of " + std::to_string(matches.size()) +
                                         " runs: " + names_of_newest(matches)};
}

void request_stop(const std::string& path, StopRequest request) {
    replace_file(path + "/" + request_file, request == StopRequest::abort ? "abort\n" : "drain\n",
                 "stop it by a signal to its coordinator, or as somebody who may write there");
}

StopRequest requested_stop(const std::string& path) noexcept {
    try {
        std::error_code none;
        if (!fs::exists(fs::path{path} / request_file, none)) return StopRequest::none;
        const auto text = run_file_text(path + "/" + request_file);
        if (text == "abort\n") return StopRequest::abort;
        return text == "drain\n" ? StopRequest::drain : StopRequest::none;
    } catch (const std::exception&) {
        return StopRequest::none;  // it is asked again soon
    }
}

}  // namespace penstock
