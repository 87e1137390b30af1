#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace penstock {

/// The network interfaces of this host that are up and have an IPv4 address.
[[nodiscard]] std::vector<std::string> usable_interfaces();

/// A bridge joins what is on this host, containers mostly, and leads to no other host.
/// @param classes  /sys/class, or what a test puts there.
[[nodiscard]] bool is_bridge(const std::string& interface, const std::filesystem::path& classes);

/// Whether there is an RDMA device, of whatever maker.
[[nodiscard]] bool has_rdma_device(const std::filesystem::path& classes);
/// Whether there is an Elastic Fabric Adapter.
[[nodiscard]] bool has_efa_device(const std::filesystem::path& classes);

}  // namespace penstock
