#include "launch/gpus.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* cuda = "CUDA_VISIBLE_DEVICES";
constexpr const char* rocr = "ROCR_VISIBLE_DEVICES";
constexpr const char* hip = "HIP_VISIBLE_DEVICES";
constexpr const char* nobody = "-1";  // every runtime stops reading its list at a number that it has not

[[nodiscard]] std::vector<std::string> entries_of(const fs::path& folder) {
    std::vector<std::string> names;
    std::error_code failed;
    for (fs::directory_iterator at{folder, failed}, end; !failed && at != end; at.increment(failed)) {
        names.push_back(at->path().filename().string());
    }
    return names;
}

[[nodiscard]] bool is_number(std::string_view text) noexcept {
    return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

/// What stands before the first name that stands for no device, as the runtimes read it.
[[nodiscard]] std::vector<std::string> names_in(std::string_view list) {
    std::vector<std::string> names;
    while (!list.empty()) {
        const auto end = std::min(list.find(','), list.size());
        std::string name{list.substr(0, end)};
        std::erase(name, ' ');
        if (name.empty() || name.starts_with('-') || name == "NoDevFiles") break;
        names.push_back(std::move(name));
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    return names;
}

/// "0", "1", ...: how the runtimes call the GPUs of a machine when nobody has chosen some of them.
[[nodiscard]] std::vector<std::string> numbers_to(std::size_t count) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) names.push_back(std::to_string(i));
    return names;
}

[[nodiscard]] std::size_t nvidia_files(const std::string& root) {
    const auto files = entries_of(root + "/dev");
    return static_cast<std::size_t>(std::ranges::count_if(files, [](std::string_view name) {
        return name.starts_with("nvidia") && is_number(name.substr(6));  // not nvidiactl, nvidia-uvm
    }));
}

/// AMD's driver lists the processors of the machine, too; those have no such number.
[[nodiscard]] std::size_t amd_gpus(const std::string& root) {
    const std::string folder = root + "/sys/class/kfd/kfd/topology/nodes";
    const auto nodes = entries_of(folder);
    return static_cast<std::size_t>(std::ranges::count_if(nodes, [&](const std::string& node) {
        std::uint64_t number = 0;
        std::ifstream{folder + "/" + node + "/gpu_id"} >> number;
        return number != 0;
    }));
}

[[nodiscard]] VisibleGpus of_machine(const std::string& root) {
    if (const auto files = nvidia_files(root); files > 0)
        return {.vendor = GpuVendor::nvidia, .names = numbers_to(files), .from = "/dev/nvidia*"};
    if (const auto known = entries_of(root + "/proc/driver/nvidia/gpus").size(); known > 0)
        return {.vendor = GpuVendor::nvidia, .names = numbers_to(known), .from = "/proc/driver/nvidia/gpus"};
    if (const auto known = amd_gpus(root); known > 0)
        return {.vendor = GpuVendor::amd, .names = numbers_to(known), .from = "/sys/class/kfd"};
    return {};
}

[[nodiscard]] std::string gpus_text(std::size_t count) {
    return std::to_string(count) + (count == 1 ? " GPU" : " GPUs");
}

[[nodiscard]] bool is_for_gpu(const Plan& plan, std::uint32_t rank) {
    return rank != 0 && plan.stages[plan.place(rank).stage].device == Device::gpu;
}

/// "on node n1, stage \"scale\" (2 instances) needs 2 GPUs".
[[nodiscard]] std::string needs_text(const Plan& plan, const std::vector<GpuOffer>& offers, const std::string& host) {
    std::map<std::uint16_t, std::size_t> counts;
    for (std::uint32_t rank = 1; rank < plan.ranks(); ++rank) {
        if (offers[rank].host == host && is_for_gpu(plan, rank)) ++counts[plan.place(rank).stage];
    }
    std::string text;
    std::size_t needed = 0;
    for (const auto& [stage, count] : counts) {
        text += (text.empty() ? "" : ", ") + in_quotes(plan.stages[stage].name) + " (" + std::to_string(count) +
                (count == 1 ? " instance)" : " instances)");
        needed += count;
    }
    return "on node " + printable(host) + ", " +
           (counts.size() == 1 ? "stage " + text + " needs " : "stages " + text + " need ") + gpus_text(needed);
}

/// What the processes for GPUs see together, and where they have it from.
[[nodiscard]] std::string seen_text(const Plan& plan, const std::vector<GpuOffer>& offers, const std::string& host) {
    std::set<std::string> names;
    std::string from;
    for (std::uint32_t rank = 1; rank < plan.ranks(); ++rank) {
        if (offers[rank].host != host || !is_for_gpu(plan, rank)) continue;
        names.insert(offers[rank].gpus.names.begin(), offers[rank].gpus.names.end());
        if (!offers[rank].gpus.from.empty()) from = " (" + printable(offers[rank].gpus.from) + ")";
    }
    return gpus_text(names.size()) + from;
}

[[noreturn]] void refuse(const Plan& plan, const std::vector<GpuOffer>& offers, const std::string& host) {
    throw Error{Errc::exhausted, needs_text(plan, offers, host) + ", one for each instance, and this run has " +
                                     seen_text(plan, offers, host) +
                                     " there; ask for more GPUs or fewer instances, or spread them over more nodes"};
}

}  // namespace

GpuPlaces GpuPlaces::real() {
    return {.variable = [](const char* name) -> std::optional<std::string> {
        const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody else sets variables
        return value == nullptr ? std::nullopt : std::optional<std::string>{value};
    }};
}

VisibleGpus find_gpus(const GpuPlaces& places) {
    const VisibleGpus machine = of_machine(places.root);
    const bool has_cuda = places.variable(cuda).has_value();
    // Where nobody has told Slurm whose GPUs it hands out, it sets the variables of all makers.
    const bool is_amd = machine.vendor == GpuVendor::amd || (machine.vendor == GpuVendor::none && !has_cuda);
    const std::vector<const char*> variables = is_amd ? std::vector{rocr, hip, cuda} : std::vector{cuda};
    for (const char* name : variables) {
        const auto list = places.variable(name);
        if (!list) continue;
        return {.vendor = is_amd ? GpuVendor::amd : GpuVendor::nvidia,
                .names = names_in(*list),
                .from = std::string{name} + "=" + *list,
                .task = places.variable("SLURM_GPUS_PER_TASK") ? places.variable("SLURM_PROCID").value_or("") : ""};
    }
    return machine;
}

std::string GpuOffer::encode() const {
    return Json{host, static_cast<int>(gpus.vendor), gpus.names, gpus.from, gpus.task}.dump(
        -1, ' ', false, Json::error_handler_t::replace);
}

GpuOffer GpuOffer::decode(const std::string& text) {
    GpuOffer offer;
    try {
        int vendor = 0;
        std::tie(offer.host, vendor, offer.gpus.names, offer.gpus.from, offer.gpus.task) =
            Json::parse(text).get<std::tuple<std::string, int, std::vector<std::string>, std::string, std::string>>();
        offer.gpus.vendor = static_cast<GpuVendor>(vendor);
    } catch (const Json::exception&) {
        throw Error{Errc::internal, "a broken list of GPUs"};
    }
    return offer;
}

bool asks_for_gpus(const Plan& plan) noexcept {
    return std::ranges::any_of(plan.stages, [](const PlannedStage& stage) { return stage.device == Device::gpu; });
}

std::vector<std::string> share_gpus(const Plan& plan, const std::vector<GpuOffer>& offers) {
    std::vector<std::string> mine(offers.size());
    std::set<std::tuple<std::string, std::string, std::string>> taken;
    for (std::uint32_t rank = 1; rank < offers.size(); ++rank) {
        if (!is_for_gpu(plan, rank)) continue;
        const GpuOffer& offer = offers[rank];
        // Those of one task may be called as those of another.
        const auto is_free = [&](const std::string& name) {
            return taken.emplace(offer.host, offer.gpus.task, name).second;
        };
        const auto found = std::ranges::find_if(offer.gpus.names, is_free);
        if (found == offer.gpus.names.end()) refuse(plan, offers, offer.host);
        mine[rank] = *found;
    }
    return mine;
}

std::vector<std::pair<const char*, std::optional<std::string>>> gpu_environment(const VisibleGpus& gpus,
                                                                                const std::string& mine) {
    if (mine.empty()) return {{cuda, nobody}, {rocr, nobody}, {hip, nobody}};
    if (gpus.vendor == GpuVendor::nvidia) return {{cuda, mine}};
    // HIP counts among those that ROCR lets through, and takes CUDA's variable for its own where that is not set.
    const bool by_hip = gpus.from.starts_with(hip);
    const std::optional<std::string> unset;
    return {{cuda, unset},
            {"GPU_DEVICE_ORDINAL", unset},
            {rocr, by_hip ? unset : std::optional<std::string>{mine}},
            {hip, by_hip ? mine : std::string{"0"}}};
}

}  // namespace penstock
