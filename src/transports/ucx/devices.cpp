#include "transports/ucx/devices.hpp"

#include "transports/interfaces.hpp"

namespace penstock::ucx {

Devices choose_devices(const std::vector<std::string>& interfaces, const std::filesystem::path& classes,
                       const char* asked_for) {
    if (asked_for != nullptr || has_rdma_device(classes)) return {};
    Devices devices;
    for (const std::string& name : interfaces) {
        if (is_bridge(name, classes)) {
            devices.bridges.push_back(name);
        } else if (name != "lo") {  // UCX looks at each device anew for each connection
            devices.use.append(devices.use.empty() ? "" : ",").append(name);
        }
    }
    if (devices.use.empty()) return {};
    return devices;
}

}  // namespace penstock::ucx
