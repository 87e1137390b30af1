#include <nlohmann/json.hpp>

#include "plan/describe.hpp"
#include "spec/param_json.hpp"
#include "spec/placement_json.hpp"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

Json names_of(const Plan& plan, const std::vector<std::uint16_t>& channels) {
    auto json = Json::array();
    for (const auto channel : channels) json.push_back(plan.channels[channel].name);
    return json;
}

/// Counted from 1, as people do.
Json with_node(Json json, std::uint32_t rank, NodesOfRanks nodes) {
    if (!nodes.empty()) json["node"] = nodes[rank] + 1;
    return json;
}

Json stage_json(const Plan& plan, const PlannedStage& stage) {
    Json json{{"name", stage.name},
              {"operator", stage.operator_name},
              {"kind", name_of(stage.kind)},
              {"params", params_json(stage.params)},
              {"env", stage.env},
              {"instances", stage.instances},
              {"threads", stage.threads},
              {"morsel_kib", stage.morsel_kib == 0 ? Json("auto") : Json(stage.morsel_kib)},
              {"target_utilization", stage.target_utilization},
              {"park_idle", stage.park_idle},
              {"device", name_of(stage.device)},
              {"first_rank", stage.first_rank},
              {"inputs", names_of(plan, stage.inputs)},
              {"outputs", names_of(plan, stage.outputs)}};
    if (stage.placement != StagePlacement{}) json["placement"] = placement_json(stage.placement);
    if (stage.timeout.count() > 0) json["timeout_ms"] = stage.timeout.count();
    return json;
}

Json channel_json(const Plan& plan, const PlannedChannel& channel) {
    Json json{{"name", channel.name},
              {"from", plan.stages[channel.from].name},
              {"to", plan.stages[channel.to].name},
              {"route", name_of(channel.route)}};
    if (!channel.key.empty()) json["key"] = channel.key;
    json["capacity"] = {{"payloads", channel.capacity}, {"bytes", channel.capacity_bytes}};
    json["overflow"] = name_of(channel.overflow);
    json["dispatch"] = name_of(channel.dispatch);
    json["by"] = name_of(channel.by);
    if (!channel.filter.empty()) json["filter"] = channel.filter;
    if (channel.sample != 1) json["sample"] = channel.sample;
    if (channel.compression.codec != Codec::none) {
        json["compression"] = {{"codec", name_of(channel.compression.codec)}, {"level", channel.compression.level}};
    }
    if (channel.checksum != Checksum::none) json["checksum"] = name_of(channel.checksum);
    json["transport"] = name_of(channel.transport);
    json["transport_reason"] = transport_reason(channel.transport);
    return json;
}

Json rank_json(const Plan& plan, std::uint32_t rank, NodesOfRanks nodes) {
    if (rank == 0) return with_node({{"rank", 0}, {"stage", "coordinator"}}, 0, nodes);
    const auto [stage, instance] = plan.place(rank);
    const auto& planned = plan.stages[stage];
    return with_node({{"rank", rank},
                      {"stage", planned.name},
                      {"instance", instance},
                      {"operator", planned.operator_name},
                      {"device", name_of(planned.device)}},
                     rank, nodes);
}

Json phase_json(const PhaseInfo& phase) {
    Json json{{"name", phase.name}, {"number", phase.number}, {"of", phase.of}, {"after", phase.after}};
    if (!phase.runs.empty()) json["runs"] = phase.runs;
    return json;
}

Json whole_json(const Plan& plan, NodesOfRanks nodes) {
    Json json{{"pipeline", plan.pipeline}};
    if (plan.phase) json["phase"] = phase_json(*plan.phase);
    json.update({{"processes", plan.ranks()},
                 {"stages", Json::array()},
                 {"channels", Json::array()},
                 {"ranks", Json::array()}});
    for (const auto& stage : plan.stages) json["stages"].push_back(stage_json(plan, stage));
    for (const auto& channel : plan.channels) json["channels"].push_back(channel_json(plan, channel));
    for (std::uint32_t rank = 0; rank < plan.ranks(); ++rank) json["ranks"].push_back(rank_json(plan, rank, nodes));
    return json;
}

}  // namespace

std::string plan_json(const Plan& plan, NodesOfRanks nodes) {
    return whole_json(plan, nodes).dump(2) + '\n';
}

std::string plan_json(const Chain& chain, const std::vector<std::vector<std::uint32_t>>& nodes) {
    Json json{{"pipeline", chain.pipeline}, {"processes", chain.ranks()}, {"phases", Json::array()}};
    for (std::size_t i = 0; i < chain.phases.size(); ++i)
        json["phases"].push_back(whole_json(chain.phases[i], nodes[i]));
    return json.dump(2) + '\n';
}

}  // namespace penstock
