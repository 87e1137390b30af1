#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "doctor/system.hpp"

namespace penstock::doctor {

struct RdmaDevice {
    std::string name;
    bool is_efa = false;
};
[[nodiscard]] std::vector<RdmaDevice> rdma_devices(const System& system);
/// InfiniBand or RoCE, not EFA.
[[nodiscard]] bool has_verbs_device(const System& system);
/// Its device numbers, "0xefa1": one for each card, with or without a driver.
[[nodiscard]] std::vector<std::string> efa_cards(const System& system);
/// NVIDIA GPUs that the bus or the driver shows.
[[nodiscard]] std::size_t gpus(const System& system);

struct Kernel {
    unsigned major = 0;
    unsigned minor = 0;
    friend auto operator<=>(const Kernel&, const Kernel&) = default;
};
[[nodiscard]] Kernel kernel_of(const System& system);

/// "0-3,8": how many.
[[nodiscard]] std::size_t count_list(std::string_view list);

/// The smallest limit of the control groups (version 2) that this process is in, "max" meaning none.
/// @param used  The file that says how much of it is in use; its value is taken off.
[[nodiscard]] std::optional<std::uint64_t> group_limit(const System& system, std::string_view file,
                                                       std::string_view used = "");
/// Processors' worth of time that the control groups give.
[[nodiscard]] std::optional<double> group_cores(const System& system);

/// The job has several nodes.
[[nodiscard]] bool has_several_nodes(const System& system);

/// "a, b, c", the first few.
[[nodiscard]] std::string joined(const std::vector<std::string>& words, std::size_t most = 8);

}  // namespace penstock::doctor
