#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <penstock/plan.hpp>

namespace penstock {

enum class GpuVendor : std::uint8_t { none, nvidia, amd };

/// The GPUs that a process may use.
struct VisibleGpus {
    GpuVendor vendor = GpuVendor::none;
    std::vector<std::string> names = {};  ///< As the variable takes them: numbers or UUIDs.
    std::string from = {};                ///< For messages: "CUDA_VISIBLE_DEVICES=0,1", "/dev/nvidia*".
    std::string task = {};                ///< The task to which Slurm has given them alone; empty: they are the node's.
};

/// Where GPUs are looked for. Tests put a folder and words there instead.
struct GpuPlaces {
    std::string root = {};  ///< In front of /dev, /proc and /sys.
    std::function<std::optional<std::string>(const char* name)> variable;

    [[nodiscard]] static GpuPlaces real();
};

/// What CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES or HIP_VISIBLE_DEVICES say; where none of them is set, all of the
/// machine.
[[nodiscard]] VisibleGpus find_gpus(const GpuPlaces& places);

/// What the processes of a run tell each other about their GPUs, before any of them is given one.
struct GpuOffer {
    std::string host;
    VisibleGpus gpus;

    [[nodiscard]] std::string encode() const;
    /// @throws Error{internal} for any other text.
    [[nodiscard]] static GpuOffer decode(const std::string& text);
};

/// Whether any stage is for GPUs.
[[nodiscard]] bool asks_for_gpus(const Plan& plan) noexcept;

/// Gives each instance of a stage for GPUs one of its host that it sees and that no rank before it has got.
/// @param offers  Of all processes of the run, by rank.
/// @return by rank, empty for one that gets none.
/// @throws Error{exhausted} naming the host that has too few, the stages there, how many they need and how many there
/// are. It is the same in all ranks.
[[nodiscard]] std::vector<std::string> share_gpus(const Plan& plan, const std::vector<GpuOffer>& offers);

/// What the environment of a process must say for it to see that GPU alone, or none if it is empty. Without a value:
/// the variable is not to be set.
[[nodiscard]] std::vector<std::pair<const char*, std::optional<std::string>>> gpu_environment(const VisibleGpus& gpus,
                                                                                              const std::string& mine);

}  // namespace penstock
