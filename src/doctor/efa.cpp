#include <algorithm>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

[[nodiscard]] bool is_set(const System& system, std::string_view variable) {
    const std::string value = system.variable(variable);
    return !value.empty() && value != "0" && value != "no" && value != "n" && value != "false";
}

/// Registered memory and fork: a child may take the pages with it, and the device goes on writing to them.
void check_fork(const System& system, Findings& findings) {
    const bool is_safe = is_set(system, "FI_EFA_FORK_SAFE") || is_set(system, "RDMAV_FORK_SAFE");
    const bool kernel_copies = kernel_of(system) >= Kernel{5, 13};
    if (!is_safe && !kernel_copies) {
        findings.add("efa-fork-unsafe", "Linux " + system.text("/proc/sys/kernel/osrelease") +
                                            ", neither FI_EFA_FORK_SAFE nor RDMAV_FORK_SAFE is set");
    }
    if (is_safe && kernel_copies) {
        findings.add("efa-fork-safe-slow",
                     is_set(system, "FI_EFA_FORK_SAFE") ? "FI_EFA_FORK_SAFE is set" : "RDMAV_FORK_SAFE is set");
    }
}

}  // namespace

void check_efa(const System& system, const Needs& needs, Findings& findings) {
    const auto cards = efa_cards(system);
    const auto devices = rdma_devices(system);
    const bool has_device =
        std::any_of(devices.begin(), devices.end(), [](const RdmaDevice& device) { return device.is_efa; });
    if (cards.empty() && !has_device) return;
    if (!has_device) {
        findings.add("efa-without-driver",
                     std::to_string(cards.size()) + " EFA cards on the bus, none in /sys/class/infiniband");
        return;
    }
    if (!needs.transports.contains("ofi")) findings.add("efa-without-libfabric", "libfabric is not in this build");
    check_fork(system, findings);
    if (system.number("/proc/sys/vm/nr_hugepages").value_or(0) == 0) {
        findings.add("efa-without-huge-pages", "vm.nr_hugepages is 0");
    }
    const bool cannot_read = !cards.empty() && std::all_of(cards.begin(), cards.end(), [](const std::string& card) {
        return card == "0xefa0";  // the first generation: c5n, p3dn
    });
    if (cannot_read && is_set(system, "FI_EFA_USE_DEVICE_RDMA")) {
        findings.add("efa-device-rdma-refused", "FI_EFA_USE_DEVICE_RDMA is set, the cards are " + cards.front());
    }
    if (const std::string provider = system.variable("FI_PROVIDER"); !provider.empty()) {
        const auto words = parts_of(provider, ',');
        const bool excludes = provider.starts_with('^');
        const bool is_named = provider.find("efa") != std::string::npos;
        if (is_named == excludes) findings.add("efa-excluded", "FI_PROVIDER is " + provider);
    }
}

}  // namespace penstock::doctor
