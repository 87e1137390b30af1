#include "doctor/machine_facts.hpp"

#include <algorithm>
#include <cstdlib>

namespace penstock::doctor {
namespace {

constexpr std::string_view pci = "/sys/bus/pci/devices/";

/// The folders of this process's groups, the innermost first.
[[nodiscard]] std::vector<std::string> group_folders(const System& system) {
    std::string mounted;
    for (const std::string& line : system.lines("/proc/self/mountinfo")) {
        const auto words = words_of(line);
        const auto dash = std::find(words.begin(), words.end(), "-");
        if (words.size() > 5 && words.end() - dash > 1 && dash[1] == "cgroup2") mounted = words[4];
    }
    std::vector<std::string> folders;
    if (mounted.empty()) return folders;
    for (const std::string& line : system.lines("/proc/self/cgroup")) {
        if (!line.starts_with("0::/")) continue;
        for (std::string path = line.substr(3); path != "/" && !path.empty(); path.resize(path.rfind('/'))) {
            folders.push_back(mounted + path);
        }
    }
    folders.push_back(mounted);
    return folders;
}

}  // namespace

std::vector<RdmaDevice> rdma_devices(const System& system) {
    std::vector<RdmaDevice> devices;
    for (const std::string& name : system.list("/sys/class/infiniband")) {
        const std::string vendor = system.text("/sys/class/infiniband/" + name + "/device/vendor");
        devices.push_back({.name = name, .is_efa = vendor == "0x1d0f"});
    }
    return devices;
}

bool has_verbs_device(const System& system) {
    const auto devices = rdma_devices(system);
    return std::any_of(devices.begin(), devices.end(), [](const RdmaDevice& device) { return !device.is_efa; });
}

std::vector<std::string> efa_cards(const System& system) {
    std::vector<std::string> cards;
    for (const std::string& name : system.list(pci)) {
        const std::string folder = std::string{pci} + name;
        if (system.text(folder + "/vendor") != "0x1d0f") continue;
        if (std::string device = system.text(folder + "/device"); device.starts_with("0xefa")) cards.push_back(device);
    }
    return cards;
}

std::size_t gpus(const System& system) {
    std::size_t on_the_bus = 0;
    for (const std::string& name : system.list(pci)) {
        const std::string folder = std::string{pci} + name;
        // Class 03: displays and 3D controllers, not their sound and USB.
        on_the_bus += system.text(folder + "/vendor") == "0x10de" && system.text(folder + "/class").starts_with("0x03");
    }
    return std::max(on_the_bus, system.list("/proc/driver/nvidia/gpus").size());
}

Kernel kernel_of(const System& system) {
    Kernel kernel;
    const auto parts = parts_of(system.text("/proc/sys/kernel/osrelease"), '.');
    if (parts.size() > 1) {
        kernel.major = static_cast<unsigned>(std::strtoul(parts[0].c_str(), nullptr, 10));
        kernel.minor = static_cast<unsigned>(std::strtoul(parts[1].c_str(), nullptr, 10));
    }
    return kernel;
}

std::size_t count_list(std::string_view list) {
    std::size_t count = 0;
    for (const std::string& part : parts_of(list, ',')) {
        const auto ends = parts_of(part, '-');
        const auto first = ends.empty() ? std::nullopt : number_of(ends.front());
        const auto last = ends.empty() ? std::nullopt : number_of(ends.back());
        if (first && last && *first <= *last) count += *last - *first + 1;
    }
    return count;
}

std::optional<std::uint64_t> group_limit(const System& system, std::string_view file, std::string_view used) {
    std::optional<std::uint64_t> smallest;
    for (const std::string& folder : group_folders(system)) {
        auto limit = number_of(system.text(folder + "/" + std::string{file}));
        if (!limit) continue;
        if (!used.empty()) *limit -= std::min(*limit, system.number(folder + "/" + std::string{used}).value_or(0));
        smallest = std::min(smallest.value_or(*limit), *limit);
    }
    return smallest;
}

std::optional<double> group_cores(const System& system) {
    std::optional<double> fewest;
    for (const std::string& folder : group_folders(system)) {
        const auto words = words_of(system.text(folder + "/cpu.max"));  // "max 100000", "150000 100000"
        const auto quota = words.size() == 2 ? number_of(words[0]) : std::nullopt;
        const auto period = words.size() == 2 ? number_of(words[1]) : std::nullopt;
        if (!quota || !period || *period == 0) continue;
        const double cores = static_cast<double>(*quota) / static_cast<double>(*period);
        fewest = std::min(fewest.value_or(cores), cores);
    }
    return fewest;
}

bool has_several_nodes(const System& system) {
    if (system.count("SLURM_JOB_NUM_NODES").value_or(1) > 1) return true;
    const auto all = system.count("OMPI_COMM_WORLD_SIZE");
    const auto here = system.count("OMPI_COMM_WORLD_LOCAL_SIZE");
    return all && here && *all > *here;
}

std::string joined(const std::vector<std::string>& words, std::size_t most) {
    std::string text;
    for (std::size_t i = 0; i < std::min(words.size(), most); ++i) text += (i == 0 ? "" : ", ") + words[i];
    if (words.size() > most) text += " and " + std::to_string(words.size() - most) + " more";
    return text;
}

}  // namespace penstock::doctor
