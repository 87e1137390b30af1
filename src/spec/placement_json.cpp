#include "spec/placement_json.hpp"

#include "spec/words.hpp"

namespace penstock {

nlohmann::ordered_json placement_json(const StagePlacement& placement) {
    switch (placement.rule) {
        case PlacementRule::with: return {{"with", placement.stage}};
        case PlacementRule::per_node: return {{"per_node", placement.per_node}};
        default: return vocabulary::placement.name_of(placement.rule);
    }
}

}  // namespace penstock
