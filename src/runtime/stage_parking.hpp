#pragma once

#include <cstdint>
#include <vector>

#include <penstock/log.hpp>

#include "runtime/channel_leases.hpp"
#include "runtime/parking_policy.hpp"
#include "runtime/snapshot.hpp"

namespace penstock {

/// Parks and unparks the instances of one stage through the leases of its input channels, and logs why. Of the
/// coordinator.
class StageParking {
public:
    /// @param leases  Of all its input channels; they outlive this.
    StageParking(const Plan& plan, std::size_t stage, std::vector<ChannelLeases*> leases, Logger& log);

    /// Looks at what the instances did since the last time, and marks in the snapshot who is parked.
    void look(RunSnapshot& run);

private:
    /// Of an instance, at the last look.
    struct Before {
        double all_s = 0;
        double busy_s = 0;
        std::uint64_t settled = 0;
    };

    [[nodiscard]] bool measure(const RunSnapshot& run);
    void apply(const ParkingPolicy::Decision& decision);

    const PlannedStage& stage_;
    std::vector<ChannelLeases*> leases_;
    Logger& log_;
    ParkingPolicy policy_;
    std::vector<Before> before_;              // by instance
    std::vector<ParkingPolicy::Load> loads_;  // by instance
};

}  // namespace penstock
