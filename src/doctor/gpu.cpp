#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

/// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 ...".
[[nodiscard]] std::string driver_version(const System& system) {
    for (const std::string& word : words_of(system.text("/proc/driver/nvidia/version"))) {
        if (word.find_first_not_of("0123456789.") == std::string::npos && word.find('.') != std::string::npos)
            return word;
    }
    return "";
}

void check_direct_transfers(const System& system, Findings& findings) {
    if (!has_verbs_device(system)) return;
    constexpr std::array<std::string_view, 3> modules{"nvidia_peermem", "nv_peer_mem", "gdrdrv"};
    const std::string loaded = system.text("/proc/modules");
    const auto is_loaded = [&](std::string_view name) {
        return loaded.starts_with(std::string{name} + " ") ||
               loaded.find("\n" + std::string{name} + " ") != std::string::npos;
    };
    if (std::none_of(modules.begin(), modules.end(), is_loaded)) {
        findings.add("gpu-without-rdma", "a GPU and an RDMA device, and neither nvidia_peermem nor gdrdrv is loaded");
    }
}

}  // namespace

void check_gpu(const System& system, const Needs& needs, Findings& findings) {
    const std::size_t count = gpus(system);
    if (count == 0) return;
    const std::string driver = driver_version(system);
    findings.add("gpu", fmt::format("{} from NVIDIA, driver {}", count, driver.empty() ? "not loaded" : driver));
    if (driver.empty()) {
        findings.add("gpu-without-driver", fmt::format("{} on the bus, and no /proc/driver/nvidia/version", count));
        return;
    }
    if (!system.exists("/dev/nvidiactl")) {
        findings.add("gpu-device-files-missing", "no /dev/nvidiactl");
    } else if (!system.probes().may_read_and_write("/dev/nvidiactl")) {
        findings.add("gpu-no-permission", "no permission to use /dev/nvidiactl");
    }
    const std::string visible = system.variable("CUDA_VISIBLE_DEVICES");
    if (system.has_variable("CUDA_VISIBLE_DEVICES") &&
        (visible.empty() || visible == "-1" || visible == "NoDevFiles")) {
        findings.add("gpu-hidden", "CUDA_VISIBLE_DEVICES is \"" + visible + "\"");
    }
    check_direct_transfers(system, findings);
    if (needs.without_device_memory.contains("ofi")) {
        findings.add("ofi-without-hmem", "the provider of libfabric that would be used does not offer FI_HMEM");
    }
}

}  // namespace penstock::doctor
