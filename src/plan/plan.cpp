#include <algorithm>

#include <penstock/plan.hpp>

namespace penstock {

std::uint32_t Plan::ranks() const noexcept {
    if (stages.empty()) return 1;
    return stages.back().first_rank + static_cast<std::uint32_t>(stages.back().instances);
}

Place Plan::place(std::uint32_t rank) const noexcept {
    const auto after = std::ranges::upper_bound(stages, rank, {}, &PlannedStage::first_rank);
    const auto stage = after - 1;
    return {.stage = static_cast<std::uint16_t>(stage - stages.begin()),
            .instance = static_cast<int>(rank - stage->first_rank)};
}

std::string Plan::label(std::uint32_t rank) const {
    if (rank == 0) return "coordinator";
    const auto [stage, instance] = place(rank);
    return stages[stage].name + '.' + std::to_string(instance);
}

}  // namespace penstock
