#include "launch/threshold_file.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "launch/run_directory.hpp"
#include "memory/arena.hpp"
#include "spec/json_fields.hpp"
#include "spec/json_tree.hpp"
#include "transports/make.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::int64_t format = 1;
constexpr std::size_t most_bytes = 1U << 20U;
constexpr std::string_view remedy = "measure again with 'mpirun -n 2 penstock tune', or remove the file";

constexpr std::array<std::string_view, 2> file_keys{"thresholds_format", "transports"};
constexpr std::array<std::string_view, 4> entry_keys{"transport", "measured_for", "thresholds", "figures"};

/// Of JSON that was read already.
[[nodiscard]] Json json_of(const JsonValue& value) {
    struct Visitor {
        Json operator()(std::nullptr_t) const { return nullptr; }
        Json operator()(const Decimal& number) const { return number.value; }
        Json operator()(const JsonValue::List& list) const {
            Json json = Json::array();
            for (const JsonValue& each : list) json.push_back(json_of(each));
            return json;
        }
        Json operator()(const JsonValue::Object& object) const {
            Json json = Json::object();
            for (const JsonMember& each : object) json[each.key] = json_of(each.value);
            return json;
        }
        Json operator()(bool value) const { return value; }
        Json operator()(std::int64_t value) const { return value; }
        Json operator()(const std::string& value) const { return value; }
    };
    return std::visit(Visitor{}, value.value);
}

[[nodiscard]] std::string text_of(const Json& json, int indent = -1) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// What a transport does not have is no key.
[[nodiscard]] Thresholds read_thresholds(FileProblems& problems, const JsonValue& value, const std::string& pointer,
                                         const ThresholdRange& range) {
    Thresholds thresholds;
    if (value.object() == nullptr) {
        problems.add(value.line, pointer, "must be an object of thresholds, not " + value.text());
        return thresholds;
    }
    const JsonFields fields{problems, value, pointer};
    std::vector<std::string_view> known;
    for (const Threshold& each : all_thresholds) {
        if (!range.has(each)) continue;
        known.push_back(each.name);
        const std::string advice = std::to_string(range.built_in.*each.value);
        if (!fields.require(each.name, advice)) continue;
        const auto number = fields.integer(each.name, {.minimum = range.least.*each.value,
                                                       .maximum = range.most.*each.value,
                                                       .advice = range.built_in.*each.value});
        if (number) thresholds.*each.value = static_cast<std::uint32_t>(*number);
    }
    fields.refuse_unknown_keys(known);
    return thresholds;
}

/// @return nothing for what is wrong in a way that leaves no entry; problems are added.
[[nodiscard]] std::optional<MeasuredEntry> read_entry(FileProblems& problems, const JsonValue& value,
                                                      const std::string& pointer) {
    if (value.object() == nullptr) {
        problems.add(value.line, pointer, "must be an object about one transport, not " + value.text());
        return std::nullopt;
    }
    const JsonFields fields{problems, value, pointer};
    fields.refuse_unknown_keys(entry_keys);
    bool is_whole = true;
    for (const auto& [key, advice] : {std::pair{"transport", "\"ucx\""},
                                      {"measured_for", "\"UCX 1.13.1, all devices, between hosts\""},
                                      {"thresholds", "{}"}}) {
        is_whole = fields.require(key, advice) && is_whole;
    }
    const auto transport = fields.text("transport");
    const auto measured_for = fields.text("measured_for");
    if (!is_whole || !transport || !measured_for) return std::nullopt;
    const ThresholdRange* range = threshold_range(*transport);
    if (range == nullptr) {
        fields.refuse("transport",
                      in_quotes(*transport) + " is no transport with thresholds; those are ucx, ofi and mpi");
        return std::nullopt;
    }
    MeasuredEntry entry{.transport = *transport, .measured_for = *measured_for, .thresholds = {}};
    const JsonValue& thresholds = *fields.find("thresholds");
    if (range->most == Thresholds{}) {  // of another build: kept for that
        entry.unread = text_of(json_of(thresholds));
    } else {
        entry.thresholds = read_thresholds(problems, thresholds, pointer_to(pointer, "thresholds"), *range);
    }
    if (const JsonValue* figures = fields.find("figures")) entry.figures = text_of(json_of(*figures));
    return entry;
}

[[nodiscard]] Error refusal(const std::string& path, const std::string& why) {
    return Error{Errc::invalid_input,
                 "the file of thresholds " + path_in_quotes(path) + " " + why + "; " + std::string{remedy}};
}

/// Nothing if it is not there.
[[nodiscard]] std::optional<std::string> read_own_file(const std::string& path) {
    const File file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
    struct stat facts {};
    if (!file || ::fstat(file.get(), &facts) != 0) {
        throw refusal(path, std::string{"cannot be read: "} + std::strerror(errno));
    }
    if (!S_ISREG(facts.st_mode)) throw refusal(path, "is no regular file");
    if (facts.st_uid != ::geteuid() && facts.st_uid != 0) throw refusal(path, "belongs to another user");
    if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        throw refusal(path, "can be written by others than its owner (chmod go-w)");
    }
    if (static_cast<std::uint64_t>(facts.st_size) > most_bytes) throw refusal(path, "is longer than 1 MiB");
    std::string text(static_cast<std::size_t>(facts.st_size), '\0');
    std::size_t got = 0;
    while (got < text.size()) {
        const ssize_t more = ::read(file.get(), text.data() + got, text.size() - got);
        if (more < 0 && errno == EINTR) continue;
        if (more < 0) throw refusal(path, std::string{"cannot be read: "} + std::strerror(errno));
        if (more == 0) break;
        got += static_cast<std::size_t>(more);
    }
    text.resize(got);
    return text;
}

[[nodiscard]] std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

}  // namespace

ThresholdFile::ThresholdFile(std::string_view text, std::string path) : path_{std::move(path)} {
    FileProblems problems{path_};
    const auto root = parse_json(text, problems);
    if (root && root->object() == nullptr) problems.add(root->line, "", "must be an object");
    if (root && root->object() != nullptr) {
        const JsonFields fields{problems, *root, ""};
        fields.refuse_unknown_keys(file_keys);
        if (fields.require("thresholds_format", "1")) {
            static_cast<void>(
                fields.integer("thresholds_format", {.minimum = format, .maximum = format, .advice = format}));
        }
        const JsonValue* list = fields.require("transports", "[]") ? fields.find("transports") : nullptr;
        if (list != nullptr && list->list() == nullptr) fields.refuse("transports", "must be a list");
        if (list != nullptr && list->list() != nullptr) {
            for (std::size_t i = 0; i < list->list()->size() && !problems.full(); ++i) {
                auto entry = read_entry(problems, (*list->list())[i], pointer_to("/transports", i));
                if (entry) put(std::move(*entry));
            }
        }
    }
    try {
        problems.throw_if_any();
    } catch (Error& error) {
        error.add_context("reading the file of thresholds; " + std::string{remedy});
        throw;
    }
}

std::optional<Thresholds> ThresholdFile::find(std::string_view transport, std::string_view measured_for) const {
    for (const MeasuredEntry& entry : entries_) {
        if (entry.transport == transport && entry.measured_for == measured_for && entry.unread.empty())
            return entry.thresholds;
    }
    return std::nullopt;
}

void ThresholdFile::put(MeasuredEntry entry) {
    const auto same = std::ranges::find_if(entries_, [&](const MeasuredEntry& each) {
        return each.transport == entry.transport && each.measured_for == entry.measured_for;
    });
    if (same == entries_.end()) {
        entries_.push_back(std::move(entry));
    } else {
        *same = std::move(entry);
    }
}

std::string ThresholdFile::text() const {
    Json json{{"thresholds_format", format}, {"transports", Json::array()}};
    for (const MeasuredEntry& entry : entries_) {
        Json each{{"transport", entry.transport}, {"measured_for", entry.measured_for}, {"thresholds", Json::object()}};
        for (const Threshold& threshold : all_thresholds) {
            const std::uint32_t value = entry.thresholds.*threshold.value;
            if (value != 0) each["thresholds"][std::string{threshold.name}] = value;
        }
        if (!entry.unread.empty()) each["thresholds"] = Json::parse(entry.unread);
        if (!entry.figures.empty()) each["figures"] = Json::parse(entry.figures);
        json["transports"].push_back(std::move(each));
    }
    return text_of(json, 2) + "\n";
}

ThresholdPlace ThresholdPlace::from_environment() {
    const std::string named = variable("PENSTOCK_TUNING");
    if (named == "off") return {};
    if (!named.empty()) return {.path = named, .is_named = true};
    // An empty or relative XDG_CACHE_HOME does not count, as the specification says.
    const std::string cache = variable("XDG_CACHE_HOME");
    if (cache.starts_with('/')) return {.path = cache + "/penstock/transports.json"};
    const std::string home = variable("HOME");
    return home.starts_with('/') ? ThresholdPlace{.path = home + "/.cache/penstock/transports.json"} : ThresholdPlace{};
}

FoundThresholds find_thresholds(const ThresholdPlace& place) {
    if (place.path.empty()) return {};
    try {
        const auto text = read_own_file(place.path);
        if (text) return {.file = ThresholdFile{*text, place.path}};
        if (!place.is_named) return {};
        throw refusal(place.path, "is not there, and PENSTOCK_TUNING names it");
    } catch (const Error& error) {
        if (place.is_named) throw;
        return {.warning = std::string{error.what()} + "\n  the thresholds that are built in are used"};
    }
}

std::string save_thresholds(const std::string& path, std::vector<MeasuredEntry> entries) {
    const auto found = find_thresholds({.path = path});
    ThresholdFile file = found.file;
    for (MeasuredEntry& entry : entries) file.put(std::move(entry));
    const fs::path folder = fs::path{path}.parent_path();
    std::error_code failed;
    if (!folder.empty()) fs::create_directories(folder, failed);  // what is wrong says the next call
    replace_file(path, file.text(), "name another file with --output");
    return found.warning.empty() ? "" : "what was there is replaced: " + found.warning;
}

}  // namespace penstock
