#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/format.hpp"
#include "base/quote.hpp"
#include "base/system_error.hpp"
#include "base/table.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "cli/run_argument.hpp"
#include "kernels/crc32c.hpp"
#include "launch/run_directory.hpp"
#include "launch/run_record.hpp"
#include "operators/input_file.hpp"
#include "operators/row_file.hpp"
#include "runtime/paths.hpp"

namespace penstock::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::size_t block_bytes = 1U << 20U;
constexpr std::string_view manifest_name = "collected.json";
constexpr std::string_view unfinished = ".collecting";  // at the end of the names of files that are not whole yet

struct CollectArguments {
    RunArgument run = {};
    std::string output_dir = {};
    std::string stage = {};
    bool force = false;
};

/// A file to be made, of one or several of the results.
struct Target {
    fs::path name;  // below the output directory
    std::vector<fs::path> parts;
    std::string stage = {};
    std::string header = {};  // of each part; stays once
    bool has_rows = false;    // lines are counted
    bool is_csv = false;
    std::optional<std::uint64_t> expected_rows = {};  // what the stage says that it has written
};

struct Collected {
    std::uint64_t bytes = 0;
    std::uint64_t rows = 0;
    std::uint32_t crc = 0;
};

/// Counts rows of text: lines; of CSV those whose end is not inside quotes (RFC 4180).
class RowCounter {
public:
    explicit RowCounter(bool has_quotes) noexcept : has_quotes_{has_quotes} {}

    void add(std::string_view text) noexcept {
        for (const char c : text) {
            if (c == '"' && has_quotes_) is_quoted_ = !is_quoted_;
            if (c == '\n' && !is_quoted_) ++rows_;
        }
        if (!text.empty()) last_ = text.back();
    }
    [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }
    [[nodiscard]] bool ends_in_a_line() const noexcept { return last_ == '\n'; }

private:
    bool has_quotes_;
    bool is_quoted_ = false;
    char last_ = '\n';
    std::uint64_t rows_ = 0;
};

/// Gives the file to `take` in blocks, from an offset on.
template <class Take>
void read_all(const fs::path& path, std::uint64_t from, Take take) {
    const InputFile file{path.string(), "run"};
    std::string block(block_bytes, '\0');
    for (std::uint64_t at = from;;) {
        const std::size_t got = file.read_at(at, block.data(), block.size());
        if (got == 0) return;
        take(std::string_view{block.data(), got});
        at += got;
    }
}

[[nodiscard]] std::string start_of(const fs::path& path, std::size_t bytes) {
    const InputFile file{path.string(), "run"};
    std::string text(bytes, '\0');
    text.resize(file.read_at(0, text.data(), text.size()));
    return text;
}

[[nodiscard]] std::uint32_t crc_of(const fs::path& path) {
    std::uint32_t crc = 0;
    read_all(path, 0, [&](std::string_view block) { crc = crc32c(std::as_bytes(std::span{block}), crc); });
    return crc;
}

/// Not one of somebody else that a link leads to.
[[nodiscard]] bool is_own_file(const fs::path& path) noexcept {
    std::error_code none;
    return fs::symlink_status(path, none).type() == fs::file_type::regular;
}

class Collection {
public:
    Collection(const Program& program, const CollectArguments& arguments)
        : program_{program},
          arguments_{arguments},
          run_{read_run(arguments.run.find())},
          results_{fs::path{run_.path} / "results"} {
        if (!run_.is_over()) {
            throw Error{Errc::invalid_input, run_.name() + " is " + run_.state +
                                                 "; wait for its end (`penstock status --watch`), or end it with "
                                                 "`penstock cancel`"};
        }
        plan_ = read_plan();
    }

    int collect() {
        const auto targets = find_targets();
        refuse_equal_names(targets);
        make_output_dir();
        // All or none: nothing is overwritten half way.
        if (!arguments_.force) {
            for (const Target& target : targets) refuse_existing(output_of(target));
        }
        auto manifest = Json::array();
        Table table{{"FILE", "BYTES", "ROWS", "CRC32C", "OF"}};
        std::vector<std::string> problems;
        for (const Target& target : targets) {
            const Collected got = write(target);
            Json entry{
                {"file", target.name.string()}, {"bytes", got.bytes}, {"crc32c", fmt::format("{:08x}", got.crc)}};
            if (target.has_rows) entry["rows"] = got.rows;
            if (!target.stage.empty()) entry["stage"] = target.stage;
            for (const auto& part : target.parts) entry["of"].push_back(part.lexically_relative(results_).string());
            manifest.push_back(std::move(entry));
            table.add({printable(target.name.string()), format_bytes(got.bytes),
                       target.has_rows ? std::to_string(got.rows) : "", fmt::format("{:08x}", got.crc),
                       target.parts.size() == 1 ? "" : fmt::format("{} files", target.parts.size())});
            if (target.expected_rows && *target.expected_rows != got.rows) {
                problems.push_back(fmt::format("{} has {} rows, but stage '{}' wrote {}", target.name.string(),
                                               got.rows, target.stage, *target.expected_rows));
            }
        }
        const Json about{{"run", run_.name()},          {"pipeline", run_.pipeline}, {"state", run_.state},
                         {"exit_code", run_.exit_code}, {"files", manifest},         {"problems", problems}};
        replace_file((fs::path{arguments_.output_dir} / manifest_name).string(), json_text(about),
                     "name another --output-dir");
        program_.out << (program_.json ? json_text(about) : table.text());
        if (run_.state != "completed") {
            program_.err << "note: " << run_.name() << " is " << run_.state << ": what it had settled is here\n";
        }
        if (problems.empty()) return 0;
        std::string text;
        for (const std::string& problem : problems) text += (text.empty() ? "" : "\n  ") + problem;
        throw Error{Errc::failed, text};
    }

private:
    [[nodiscard]] Json read_plan() const {
        const auto text = run_file_text(run_.path + "/plan.json");
        Json plan = text && is_shallow_json(*text) ? Json::parse(*text, nullptr, false) : Json{};
        if (!plan.is_object() || !plan.contains("stages")) {
            throw Error{Errc::invalid_input, "plan.json of " + path_in_quotes(run_.path) + " is broken"};
        }
        return plan;
    }

    /// What the stage counted, if the run has come to its end.
    [[nodiscard]] std::optional<std::uint64_t> records_of(const std::string& stage) const {
        if (run_.state != "completed" || run_.status.empty()) return std::nullopt;
        const Json status = Json::parse(run_.status);
        for (const Json& each : status.value("stages", Json::array())) {
            if (each.value("name", "") != stage || !each.contains("counters") || !each["counters"].contains("records"))
                continue;
            const Json& records = each["counters"]["records"];
            if (records.is_number_unsigned()) return records.get<std::uint64_t>();
        }
        return std::nullopt;
    }

    /// The files of a stage: those of its instances as one where they are lines of text, each for itself otherwise.
    void add_results_of(const Json& stage, std::vector<Target>& targets) const {
        const Json params = stage.value("params", Json::object());
        const std::string output = params.value("output", "");
        if (output.empty() || fs::path{output}.is_absolute()) return;
        const std::string name = stage.value("name", "");
        constexpr std::uint64_t most_instances = 1'000'000;
        const auto known = stage.find("instances");
        const bool is_count = known != stage.end() && known->is_number_unsigned();
        const auto instances =
            static_cast<int>(std::clamp<std::uint64_t>(is_count ? known->get<std::uint64_t>() : 1, 1, most_instances));
        std::vector<fs::path> parts;
        for (int i = 0; i < instances; ++i) {
            const fs::path part = result_path_in(results_.string(), output, instances > 1 ? i : -1);
            if (is_own_file(part)) parts.push_back(part);
        }
        const std::string kind = stage.value("operator", "");
        const bool has_rows = kind == "csv_sink" || kind == "jsonl_sink";
        if (!has_rows) {
            for (const fs::path& part : parts) targets.push_back({part.lexically_relative(results_), {part}, name});
            return;
        }
        if (parts.empty()) return;
        const std::string header = kind == "csv_sink" ? params.value("header", "") : "";
        targets.push_back({.name = fs::path{output}.lexically_normal(),
                           .parts = std::move(parts),
                           .stage = name,
                           .header = header.empty() ? "" : header + "\n",
                           .has_rows = true,
                           .is_csv = kind == "csv_sink",
                           .expected_rows = records_of(name)});
    }

    [[nodiscard]] std::vector<Target> find_targets() const {
        std::vector<Target> targets;
        bool is_known = arguments_.stage.empty();
        std::string names;
        for (const Json& stage : plan_["stages"]) {
            const std::string name = stage.value("name", "");
            names += (names.empty() ? "" : ", ") + name;
            is_known = is_known || name == arguments_.stage;
            if (arguments_.stage.empty() || name == arguments_.stage) add_results_of(stage, targets);
        }
        if (!is_known) {
            throw Error{Errc::invalid_input,
                        "there is no stage " + in_quotes(arguments_.stage) + " in this run; it has: " + names};
        }
        if (arguments_.stage.empty()) add_others(targets);
        if (targets.empty()) {
            throw Error{Errc::invalid_input,
                        "there are no results in " + path_in_quotes(results_.string()) +
                            (arguments_.stage.empty() ? "" : " of stage " + in_quotes(arguments_.stage)) +
                            "; results under an absolute name lie where that says"};
        }
        return targets;
    }

    /// What no parameter names: dead letters, joined files, what operators of other programs write.
    void add_others(std::vector<Target>& targets) const {
        std::vector<fs::path> taken;
        for (const Target& target : targets) taken.insert(taken.end(), target.parts.begin(), target.parts.end());
        std::vector<fs::path> others;
        std::error_code failed;
        for (fs::recursive_directory_iterator at{results_, failed}, end; !failed && at != end; at.increment(failed)) {
            if (is_own_file(at->path()) && std::ranges::find(taken, at->path()) == taken.end())
                others.push_back(at->path());
        }
        std::ranges::sort(others);
        for (const fs::path& other : others) targets.push_back({other.lexically_relative(results_), {other}});
    }

    [[nodiscard]] fs::path output_of(const Target& target) const {
        return fs::path{arguments_.output_dir} / target.name;
    }

    void make_output_dir() const {
        std::error_code failed;
        fs::create_directories(arguments_.output_dir, failed);
        if (failed) {
            throw Error{errc_of(failed.value()), "cannot make the folder " + path_in_quotes(arguments_.output_dir) +
                                                     ": " + failed.message() + "; name another with --output-dir"};
        }
        const auto inside = fs::weakly_canonical(arguments_.output_dir, failed)
                                .lexically_relative(fs::weakly_canonical(results_, failed));
        if (!inside.empty() && *inside.begin() != "..") {
            throw Error{Errc::invalid_input, "--output-dir lies in the folder of the results themselves; name another"};
        }
    }

    /// One would replace the other.
    static void refuse_equal_names(const std::vector<Target>& targets) {
        for (std::size_t i = 0; i < targets.size(); ++i) {
            const std::string name = targets[i].name.string();
            if (name == manifest_name || name.ends_with(unfinished)) {
                throw Error{Errc::invalid_input, "a result is called " + in_quotes(name) +
                                                     ", as files of this command are; copy that one by hand, and the "
                                                     "others with --stage"};
            }
            for (std::size_t k = 0; k < i; ++k) {
                if (targets[k].name != targets[i].name) continue;
                throw Error{Errc::invalid_input, "two results would be called " + in_quotes(name) + ", of stages " +
                                                     in_quotes(targets[k].stage) + " and " +
                                                     in_quotes(targets[i].stage) +
                                                     "; collect them one by one with --stage"};
            }
        }
    }

    static void refuse_existing(const fs::path& path) {
        if (!fs::exists(path)) return;
        throw Error{Errc::invalid_input,
                    path_in_quotes(path.string()) + " exists; name another --output-dir, or replace it with --force"};
    }

    [[nodiscard]] Collected write(const Target& target) const {
        const fs::path path = output_of(target);
        fs::create_directories(path.parent_path());
        const fs::path fresh = path.string() + std::string{unfinished};
        RowCounter counter{target.is_csv};
        {
            RowFile file{fresh.string(), "--output-dir"};
            std::vector<iovec> parts;
            const auto append = [&](std::string_view text) {
                parts = {{const_cast<char*>(text.data()), text.size()}};  // writev only reads
                file.append(parts);
                if (target.has_rows) counter.add(text);
            };
            try {
                if (!target.header.empty()) append(target.header);
                for (const fs::path& part : target.parts) {
                    check_header(part, target.header);
                    read_all(part, target.header.size(), append);
                    if (target.has_rows && !counter.ends_in_a_line()) append("\n");
                }
                file.close();
            } catch (...) {
                std::error_code none;
                fs::remove(fresh, none);
                throw;
            }
        }
        fs::rename(fresh, path);
        // What can be read back, and not what was meant to be written.
        return {.bytes = fs::file_size(path),
                .rows = counter.rows() - (target.header.empty() ? 0 : 1),
                .crc = crc_of(path)};
    }

    static void check_header(const fs::path& part, const std::string& header) {
        if (header.empty() || start_of(part, header.size()) == header) return;
        throw Error{Errc::failed, path_in_quotes(part.string()) + " does not begin with the header " +
                                      in_quotes(header.substr(0, header.size() - 1))};
    }

    const Program& program_;
    const CollectArguments& arguments_;
    RunRecord run_;
    fs::path results_;
    Json plan_;
};

}  // namespace

void add_collect(CLI::App& app, Program& program) {
    auto* command =
        app.add_subcommand("collect", "Copy the results of a run, those of the instances of a stage as one");
    const auto arguments = std::make_shared<CollectArguments>();
    add_run_argument(*command, arguments->run);
    command->add_option("--output-dir,--output", arguments->output_dir, "Folder to put them into; made if missing")
        ->type_name("DIR")
        ->required();
    command->add_option("--stage", arguments->stage, "Only the results of this stage")->type_name("STAGE");
    command->add_flag("--force", arguments->force, "Replace files that are there");
    add_json_flag(*command, program, "Print what was collected as JSON");
    command->footer(examples({"penstock collect --output-dir results",
                              "penstock collect streaming-demo --stage consumer --output-dir /data/demo"}));
    command->final_callback([&program, arguments] {
        program.action = [&program, arguments] {
            try {
                return Collection{program, *arguments}.collect();
            } catch (const Json::exception& error) {
                throw Error{Errc::invalid_input,
                            std::string{"plan.json or status.json of the run is broken: "} + error.what()};
            } catch (const fs::filesystem_error& error) {
                throw Error{errc_of(error.code().value()), error.what()};
            }
        };
    });
}

}  // namespace penstock::cli
