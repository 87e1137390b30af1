#include "transports/interfaces.hpp"

#include <algorithm>
#include <fstream>
#include <memory>

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>

namespace penstock {
namespace {

/// Amazon's number as a maker of PCI devices; of its devices only EFAs are RDMA devices.
constexpr std::string_view amazon = "0x1d0f";

[[nodiscard]] std::filesystem::directory_iterator rdma_devices(const std::filesystem::path& classes) {
    std::error_code error;
    return std::filesystem::directory_iterator{classes / "infiniband", error};
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

bool is_bridge(const std::string& interface, const std::filesystem::path& classes) {
    std::error_code error;
    return std::filesystem::exists(classes / "net" / interface / "bridge", error);
}

bool has_rdma_device(const std::filesystem::path& classes) {
    return rdma_devices(classes) != std::filesystem::directory_iterator{};
}

bool has_efa_device(const std::filesystem::path& classes) {
    for (auto at = rdma_devices(classes); at != std::filesystem::directory_iterator{};) {
        std::ifstream file{at->path() / "device" / "vendor"};
        std::string maker;
        if (file >> maker && maker == amazon) return true;
        std::error_code error;
        if (at.increment(error); error) return false;
    }
    return false;
}

}  // namespace penstock
