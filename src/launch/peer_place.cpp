#include "launch/peer_place.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "launch/run_record.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view suffix = ".json";

/// "producer.0", "processor.1", in order.
[[nodiscard]] std::vector<std::string> instances_in(const fs::path& peers) {
    std::vector<std::string> names;
    std::error_code failed;
    for (fs::directory_iterator at{peers, failed}, end; !failed && at != end; at.increment(failed)) {
        const std::string name = at->path().filename().string();
        if (name.ends_with(suffix)) names.push_back(name.substr(0, name.size() - suffix.size()));
    }
    std::ranges::sort(names);
    return names;
}

[[nodiscard]] Json object_in(const fs::path& path) {
    const auto text = run_file_text(path.string());
    if (!text || !is_shallow_json(*text)) return {};
    return Json::parse(*text, nullptr, false);
}

[[nodiscard]] std::string word(const Json& json, const char* key) {
    const auto at = json.find(key);
    return at != json.end() && at->is_string() ? at->get<std::string>() : "";
}

/// "host:pid".
[[nodiscard]] std::int64_t pid_in(const std::string& id) {
    std::int64_t pid = 0;
    const auto colon = id.rfind(':');
    if (colon != std::string::npos) std::from_chars(id.data() + colon + 1, id.data() + id.size(), pid);
    return pid;
}

}  // namespace

PeerPlace find_peer(const std::string& run_dir, const std::string& stage, std::uint32_t instance) {
    const fs::path peers = fs::path{run_dir} / "peers";
    const std::string label = stage + "." + std::to_string(instance);
    const auto there = instances_in(peers);
    // Compared and not looked up: a stage is no path.
    if (std::ranges::find(there, label) == there.end()) {
        const std::vector<std::string_view> names{there.begin(), there.end()};
        throw Error{Errc::invalid_input,
                    there.empty()
                        ? "the run has not written yet where its instances are; try again when it runs"
                        : "the run has no instance " + in_quotes(label) + suggestion(label, names, "there are")};
    }
    const Json file = object_in(peers / (label + std::string{suffix}));
    const auto all = file.is_object() ? file.find("stage_peers") : file.end();
    if (file.is_object() && all != file.end() && all->is_array()) {
        for (const Json& peer : *all) {
            const auto index = peer.is_object() ? peer.find("index") : peer.end();
            if (!peer.is_object() || index == peer.end() || *index != instance) continue;
            const auto rank = peer.find("rank");
            return {.host = word(peer, "node"),
                    .address = word(peer, "private_ip"),
                    .pid = pid_in(word(peer, "instance_id")),
                    .rank = rank != peer.end() && rank->is_number_unsigned() ? rank->get<std::uint32_t>() : 0};
        }
    }
    throw Error{Errc::invalid_input, path_in_quotes((peers / (label + ".json")).string()) +
                                         " does not say where the instance is; another version may have written it"};
}

}  // namespace penstock
