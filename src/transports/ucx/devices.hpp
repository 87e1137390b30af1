#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace penstock::ucx {

/// The network devices that UCX is to use, and those that are left out.
struct Devices {
    std::string use;                   ///< As UCX_NET_DEVICES has them; empty: what UCX finds.
    std::vector<std::string> bridges;  ///< Left out: UCX would take one for the way to other hosts.
};

/// Leaves out bridges and the loopback, unless there is an RDMA device, nothing else is there, or the user has said
/// which to use.
/// @param classes    /sys/class, or what a test puts there.
/// @param asked_for  The user's UCX_NET_DEVICES, or null.
[[nodiscard]] Devices choose_devices(const std::vector<std::string>& interfaces, const std::filesystem::path& classes,
                                     const char* asked_for);

}  // namespace penstock::ucx
