#include "launch/run_directory.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <tuple>

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <nlohmann/json.hpp>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <penstock/error.hpp>
#include <penstock/version.hpp>

#include "base/clock.hpp"
#include "base/system_error.hpp"
#include "base/time_text.hpp"
#include "launch/process_identity.hpp"
#include "launch/run_environment.hpp"
#include "memory/arena.hpp"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view another_place = "choose a writable place with --runs-dir";

[[nodiscard]] Error file_error(const std::string& doing, const std::string& path,
                               std::string_view otherwise = another_place) {
    const int why = errno;
    const bool lacking = errc_of(why) == Errc::exhausted;
    return Error{errc_of(why), doing + " '" + path + "': " + std::strerror(why) + "; " +
                                   (lacking ? remedy_of(why) + std::string{", or "} : std::string{}) +
                                   std::string{otherwise}};
}

void remove_keeping_errno(const std::string& path) noexcept {
    const int why = errno;
    unlink(path.c_str());
    errno = why;
}

/// For this process alone: the folder may be somebody else's, who has put a link or a pipe where the file is to be.
[[nodiscard]] File fresh_file(const std::string& path) {
    constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    File file{open(path.c_str(), flags, 0600)};
    if (file || errno != EEXIST) return file;
    unlink(path.c_str());
    return File{open(path.c_str(), flags, 0600)};
}

void make_folder(const std::string& path) {
    if (mkdir(path.c_str(), 0700) != 0) throw file_error("cannot make the folder", path);
}

[[nodiscard]] std::string local_time_text() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y%m%d-%H%M%S", &local);
    return text.data();
}

[[nodiscard]] std::string address_of_host() {
    ifaddrs* list = nullptr;
    std::string found = "127.0.0.1";
    if (getifaddrs(&list) != 0) return found;
    for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
        if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
        sockaddr_in address{};
        std::memcpy(&address, at->ifa_addr, sizeof address);
        std::array<char, INET_ADDRSTRLEN> text{};
        inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
        if (ntohl(address.sin_addr.s_addr) >> 24U == 127) continue;
        found = text.data();
        break;
    }
    freeifaddrs(list);
    return found;
}

/// One peer as Spawn's discovery file has it, with rank, node and transport added.
[[nodiscard]] Json peer_json(const Plan& plan, std::uint32_t rank, const std::vector<HostInfo>& hosts,
                             const std::vector<std::string>& transports) {
    const Place place = plan.place(rank);
    const std::string& stage = plan.stages[place.stage].name;
    const HostInfo& host = hosts[rank];
    Json peer{{"stage_id", stage},
              {"stage_index", place.stage},
              {"instance_id", host.host + ":" + std::to_string(host.pid)},
              {"private_ip", host.address},
              {"dns_name", stage + "-" + std::to_string(place.instance) + "." + plan.pipeline + "." + host.host},
              {"state", "running"},
              {"index", place.instance},
              {"rank", rank},
              {"node", host.host},
              {"transport", transports[rank]}};
    if (!host.cpus.empty()) peer.update({{"cpus", host.cpus}, {"numa", host.numa}});
    if (!host.gpu.empty()) peer["gpu"] = host.gpu;
    return peer;
}

}  // namespace

void replace_file(const std::string& path, std::string_view text, std::string_view otherwise) {
    const std::string fresh = fmt::format("{}.{}.new", path, getpid());
    const File file = fresh_file(fresh);
    if (!file) throw file_error("cannot write", path, otherwise);
    while (!text.empty()) {
        const ssize_t written = write(file.get(), text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            remove_keeping_errno(fresh);
            throw file_error("cannot write", path, otherwise);
        }
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    if (rename(fresh.c_str(), path.c_str()) != 0) {
        remove_keeping_errno(fresh);
        throw file_error("cannot replace", path, otherwise);
    }
}

std::string HostInfo::encode() const {
    return Json{host, address, pid, cpus, numa, gpu}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HostInfo HostInfo::decode(const std::string& text) {
    HostInfo info;
    try {
        std::tie(info.host, info.address, info.pid, info.cpus, info.numa, info.gpu) =
            Json::parse(text)
                .get<std::tuple<std::string, std::string, std::int64_t, std::string, std::string, std::string>>();
    } catch (const Json::exception&) {
        throw Error{Errc::internal, "a broken host description"};
    }
    return info;
}

HostInfo HostInfo::here() {
    return {host_name(), address_of_host(), getpid()};
}

RunDirectory RunDirectory::create(const std::string& runs_dir, const std::string& name) {
    std::error_code failed;
    const auto base = std::filesystem::absolute(runs_dir, failed).lexically_normal();
    std::filesystem::create_directories(base, failed);
    if (failed) {
        errno = failed.value();
        throw file_error("cannot make the folder", base.string());
    }
    for (int attempt = 0; attempt < 16; ++attempt) {
        std::uint16_t random = 0;
        if (getrandom(&random, sizeof random, 0) != static_cast<ssize_t>(sizeof random))
            random = static_cast<std::uint16_t>(attempt);
        const std::string path = (base / fmt::format("{}-{}-{:04x}", name, local_time_text(), random)).string();
        if (mkdir(path.c_str(), 0700) != 0) {
            if (errno == EEXIST) continue;
            throw file_error("cannot make the run directory", path);
        }
        for (const char* folder : {"peers", "logs", "results"}) make_folder(path + "/" + folder);
        return RunDirectory{path};
    }
    throw Error{Errc::exhausted, "no free name for a run directory in '" + base.string() + "'"};
}

std::string RunDirectory::log_of(std::string_view label) const {
    return path_ + "/logs/" + std::string{label} + ".jsonl";
}

void RunDirectory::replace(std::string_view name, std::string_view text) const {
    replace_file(path_ + "/" + std::string{name}, text, another_place);
}

void RunDirectory::write_start(const Plan& plan, std::string_view launched_by) const {
    const auto self = ProcessIdentity::here();
    Json start{{"pipeline", plan.pipeline},  {"started_at", time_text(static_cast<std::int64_t>(wall_ns()))},
               {"launched_by", launched_by}, {"processes", plan.ranks()},
               {"host", self.host},          {"pid", self.pid},
               {"world", self.world},        {"process_started", self.started}};
    if (const char* job = std::getenv("SLURM_JOB_ID")) start["slurm_job_id"] = job;
    if (const char* cluster = std::getenv("SLURM_CLUSTER_NAME")) start["slurm_cluster"] = cluster;
    if (const char* restart = std::getenv("SLURM_RESTART_COUNT")) start["slurm_restart"] = std::atoi(restart);
    if (plan.phase) {
        start["phase"] = {{"name", plan.phase->name},
                          {"number", plan.phase->number},
                          {"of", plan.phase->of},
                          {"runs", plan.phase->runs}};
    }
    start["version"] = version;
    utsname machine{};
    if (uname(&machine) == 0)
        start["system"] = fmt::format("{} {} {}", machine.sysname, machine.release, machine.machine);
    start["environment"] = Json::object();
    for (const auto& [name, value] : run_environment()) start["environment"][name] = value;
    replace("run.json", start.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void RunDirectory::write_peers(const Plan& plan, const std::vector<HostInfo>& hosts,
                               const std::vector<std::string>& transports) const {
    std::vector<Json> stages;  // the peers of each stage, by instance
    for (const PlannedStage& stage : plan.stages) {
        Json peers = Json::array();
        for (int i = 0; i < stage.instances; ++i) {
            peers.push_back(peer_json(plan, stage.first_rank + static_cast<std::uint32_t>(i), hosts, transports));
        }
        stages.push_back(std::move(peers));
    }
    Json all = Json::object();
    for (std::size_t i = 0; i < plan.stages.size(); ++i) all[plan.stages[i].name] = stages[i];
    for (std::size_t i = 0; i < plan.stages.size(); ++i) {
        const PlannedStage& stage = plan.stages[i];
        Json upstream = Json::object();
        Json downstream = Json::object();
        for (const std::uint16_t channel : stage.inputs) {
            const std::uint16_t from = plan.channels[channel].from;
            upstream[plan.stages[from].name] = stages[from];
        }
        for (const std::uint16_t channel : stage.outputs) {
            const std::uint16_t to = plan.channels[channel].to;
            downstream[plan.stages[to].name] = stages[to];
        }
        for (int instance = 0; instance < stage.instances; ++instance) {
            const Json file{
                {"pipeline_id", plan.pipeline},    {"stage_id", stage.name},   {"stage_index", i},
                {"instance_index", instance},      {"stage_peers", stages[i]}, {"upstream_stages", upstream},
                {"downstream_stages", downstream}, {"all_stages", all}};
            replace("peers/" + stage.name + "." + std::to_string(instance) + ".json", file.dump(2) + "\n");
        }
    }
}

}  // namespace penstock
