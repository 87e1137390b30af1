#include "runtime/stage_parking.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "runtime/statistics.hpp"

namespace penstock {
namespace {

/// A share of less time says little.
constexpr double least_s = 0.25;

}  // namespace

StageParking::StageParking(const Plan& plan, std::size_t stage, std::vector<ChannelLeases*> leases, Logger& log)
    : stage_{plan.stages[stage]},
      leases_{std::move(leases)},
      log_{log},
      policy_{static_cast<std::size_t>(stage_.instances), stage_.target_utilization},
      before_(static_cast<std::size_t>(stage_.instances)),
      loads_(static_cast<std::size_t>(stage_.instances)) {}

void StageParking::look(RunSnapshot& run) {
    if (measure(run)) {
        const bool starves =
            std::ranges::any_of(leases_, [](const ChannelLeases* leases) { return leases->lacks_credits(); });
        apply(policy_.look(loads_, starves));
    }
    for (std::size_t i = 0; i < loads_.size(); ++i) {
        InstanceView& view = run.instances[stage_.first_rank - 1 + i];
        view.parking = Parking{.is_parked = policy_.is_parked(i), .weight = policy_.weight(i)};
    }
}

/// @return false if not everybody has told of enough time yet.
bool StageParking::measure(const RunSnapshot& run) {
    std::vector<Before> now(before_.size());
    for (std::size_t i = 0; i < now.size(); ++i) {
        const InstanceView& view = run.instances[stage_.first_rank - 1 + i];
        if (view.done || view.status.channels.empty()) return false;
        const TimeSpent time = time_spent(view.status);
        now[i] = {.all_s = time.sum(), .busy_s = time.in_operator + time.paced};
        for (std::size_t input = 0; input < stage_.inputs.size(); ++input) {
            now[i].settled += view.status.channels[input].settled;
        }
        if (now[i].all_s - before_[i].all_s < least_s) return false;
    }
    for (std::size_t i = 0; i < now.size(); ++i) {
        const double busy_s = now[i].busy_s - before_[i].busy_s;
        loads_[i] = {.busy = busy_s / (now[i].all_s - before_[i].all_s),
                     .busy_s = busy_s,
                     .payloads = now[i].settled - before_[i].settled};
    }
    before_ = std::move(now);
    return true;
}

void StageParking::apply(const ParkingPolicy::Decision& decision) {
    if (decision.instances.empty()) return;
    std::string names;
    for (const std::size_t instance : decision.instances) {
        for (ChannelLeases* leases : leases_) {
            const auto receiver = static_cast<std::uint32_t>(instance);
            decision.parks ? leases->park(receiver) : leases->unpark(receiver);
        }
        names += fmt::format("{}{}.{} (weight {:.2f})", names.empty() ? "" : ", ", stage_.name, instance,
                             policy_.weight(instance));
    }
    log_.info(fmt::format("{} {}: {}", decision.parks ? "Parked" : "Unparked", names, decision.reason));
}

}  // namespace penstock
