#include "transports/ucx/devices.hpp"

#include "transports/interfaces.hpp"

namespace penstock::ucx {

Devices choose_devices(const std::vector<std::string>& interfaces, const std::filesystem::path& classes,
                       const char* asked_for) {
    if (asked_for != nullptr || has_rdma_device(classes)) return {};
    Devices devices;
    bool reaches_others = false;
    for (const std::string& name : interfaces) {
        if (is_bridge(name, classes)) {
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
