#include "spec/placement_json.hpp"

#include "spec/words.hpp"

namespace penstock {

nlohmann::ordered_json placement_json(const StagePlacement& placement) {
    const bool is_anywhere = placement.constraint.empty() && placement.partition.empty();
    auto json = nlohmann::ordered_json::object();
    switch (placement.rule) {
        case PlacementRule::by_rank: break;
        case PlacementRule::with: json["with"] = placement.stage; break;
        case PlacementRule::per_node: json["per_node"] = placement.per_node; break;
        default:
            if (is_anywhere) return vocabulary::placement.name_of(placement.rule);
            json["rule"] = vocabulary::placement.name_of(placement.rule);
    }
    if (!placement.constraint.empty()) json["constraint"] = placement.constraint;
    if (!placement.partition.empty()) json["partition"] = placement.partition;
    return json;
}

}  // namespace penstock
