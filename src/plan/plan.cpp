#include <algorithm>

#include <penstock/error.hpp>
#include <penstock/plan.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"

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

std::uint32_t Chain::ranks() const noexcept {
    std::uint32_t most = 0;
    for (const Plan& plan : phases) most = std::max(most, plan.ranks());
    return most;
}

const Plan& Chain::phase_of(std::string_view stage) const {
    std::vector<std::string_view> names;
    for (const Plan& plan : phases) {
        for (const PlannedStage& each : plan.stages) {
            if (each.name == stage) return plan;
            names.emplace_back(each.name);
        }
    }
    throw Error{Errc::invalid_input, "no stage " + in_quotes(stage) + " in pipeline " + in_quotes(pipeline) +
                                         suggestion(stage, names, "the stages are")};
}

}  // namespace penstock
