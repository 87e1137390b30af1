#include "transports/ucx/devices.hpp"

#include <algorithm>
#include <memory>

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>

namespace penstock::ucx {
namespace {

[[nodiscard]] bool has_entries(const std::filesystem::path& folder) {
    std::error_code error;
    return std::filesystem::directory_iterator{folder, error} != std::filesystem::directory_iterator{};
}

}  // namespace

std::vector<std::string> usable_interfaces() {
    ifaddrs* read = nullptr;
    if (getifaddrs(&read) != 0) return {};
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> all{read, &freeifaddrs};
    std::vector<std::string> names;
    for (const ifaddrs* at = read; at != nullptr; at = at->ifa_next) {
        const bool up = (at->ifa_flags & IFF_UP) != 0 && (at->ifa_flags & IFF_RUNNING) != 0;
        if (!up || at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET) continue;
        if (std::find(names.begin(), names.end(), at->ifa_name) == names.end()) names.emplace_back(at->ifa_name);
    }
    return names;
}

Devices choose_devices(const std::vector<std::string>& interfaces, const std::filesystem::path& classes,
                       const char* asked_for) {
    if (asked_for != nullptr || has_entries(classes / "infiniband")) return {};
    Devices devices;
    bool reaches_others = false;
    for (const std::string& name : interfaces) {
        std::error_code error;
        if (std::filesystem::exists(classes / "net" / name / "bridge", error)) {
            devices.bridges.push_back(name);
            continue;
        }
        devices.use.append(devices.use.empty() ? "" : ",").append(name);
        reaches_others = reaches_others || name != "lo";
    }
    if (devices.bridges.empty() || !reaches_others) return {};
    return devices;
}

}  // namespace penstock::ucx
