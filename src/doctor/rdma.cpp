#include <algorithm>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

[[nodiscard]] std::vector<std::string> user_devices(const System& system) {
    auto names = system.list("/dev/infiniband");
    std::erase_if(names, [](const std::string& name) { return !name.starts_with("uverbs"); });
    return names;
}

void check_ports(const System& system, const RdmaDevice& device, Findings& findings) {
    const std::string folder = "/sys/class/infiniband/" + device.name + "/ports/";
    const auto ports = system.list(folder);
    const auto is_active = [&](const std::string& port) {
        return system.text(folder + port + "/state").find("ACTIVE") != std::string::npos;  // "4: ACTIVE"
    };
    if (ports.empty() || std::any_of(ports.begin(), ports.end(), is_active)) return;
    findings.add("rdma-port-down", device.name + " is in state " + system.text(folder + ports.front() + "/state"));
}

}  // namespace

void check_rdma(const System& system, const Needs& needs, Findings& findings) {
    const auto devices = rdma_devices(system);
    if (devices.empty()) return;
    std::vector<std::string> names;
    for (const RdmaDevice& device : devices) names.push_back(device.name + (device.is_efa ? " (EFA)" : ""));
    findings.add("rdma", joined(names));
    const auto files = user_devices(system);
    const auto may_use = [&](const std::string& name) {
        return system.probes().may_read_and_write("/dev/infiniband/" + name);
    };
    if (files.empty()) {
        findings.add("rdma-device-files-missing", joined(names) + ", but no /dev/infiniband/uverbs*");
    } else if (std::none_of(files.begin(), files.end(), may_use)) {
        findings.add("rdma-no-permission", "no permission to use /dev/infiniband/" + files.front());
    }
    for (const RdmaDevice& device : devices) check_ports(system, device, findings);
    if (has_verbs_device(system) && !needs.transports.contains("ucx")) {
        findings.add("rdma-without-ucx", joined(names) + ", and UCX is not in this build");
    }
}

}  // namespace penstock::doctor
