#include <utility>

#include <nlohmann/json.hpp>

#include <penstock/spec.hpp>

#include "base/quantity.hpp"
#include "spec/param_json.hpp"
#include "spec/placement_json.hpp"

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

Json stage_json(const StageSpec& stage) {
    Json json{{"name", stage.name}, {"operator", stage.operator_name}};
    if (!stage.params.empty()) json["params"] = params_json(stage.params);
    if (stage.instances == StageSpec::fill)
        json["instances"] = "fill";
    else if (stage.instances != 1)
        json["instances"] = stage.instances;
    if (stage.threads != 1) json["threads"] = stage.threads;
    if (stage.morsel_kib == 0) {
        json["morsel_kib"] = "auto";
    } else if (stage.morsel_kib != StageSpec{}.morsel_kib) {
        json["morsel_kib"] = stage.morsel_kib;
    }
    if (stage.target_utilization != StageSpec{}.target_utilization) {
        json["target_utilization"] = stage.target_utilization;
    }
    if (stage.park_idle) json["park_idle"] = true;
    if (stage.device != Device::cpu) json["device"] = name_of(stage.device);
    if (!stage.env.empty()) json["env"] = stage.env;
    if (stage.placement != StagePlacement{}) json["placement"] = placement_json(stage.placement);
    if (stage.timeout.count() > 0) json["timeout"] = duration_text(stage.timeout);
    if (!stage.after.empty()) json["after"] = stage.after;
    return json;
}

Json capacity_json(const ChannelSpec& channel, const ChannelSpec& defaults) {
    if (channel.capacity_bytes == defaults.capacity_bytes) return channel.capacity;
    return {{"payloads", channel.capacity}, {"bytes", channel.capacity_bytes}};
}

Json channel_json(const ChannelSpec& channel) {
    const ChannelSpec defaults{.from = "", .to = ""};
    Json json = Json::object();
    if (!channel.name.empty()) json["name"] = channel.name;
    json["from"] = channel.from;
    json["to"] = channel.to;
    if (channel.route != defaults.route) json["route"] = name_of(channel.route);
    if (!channel.key.empty()) json["key"] = channel.key;
    if (channel.capacity != defaults.capacity || channel.capacity_bytes != defaults.capacity_bytes) {
        json["capacity"] = capacity_json(channel, defaults);
    }
    if (channel.overflow != defaults.overflow) json["overflow"] = name_of(channel.overflow);
    if (channel.dispatch != defaults.dispatch) json["dispatch"] = name_of(channel.dispatch);
    if (channel.by != defaults.by) json["by"] = name_of(channel.by);
    if (!channel.filter.empty()) json["filter"] = channel.filter;
    if (channel.sample != defaults.sample) json["sample"] = channel.sample;
    if (channel.compression.level != 0) {
        json["compression"] = {{"codec", name_of(channel.compression.codec)}, {"level", channel.compression.level}};
    } else if (channel.compression.codec != Codec::none) {
        json["compression"] = name_of(channel.compression.codec);
    }
    if (channel.checksum != defaults.checksum) json["checksum"] = name_of(channel.checksum);
    if (channel.transport != defaults.transport) json["transport"] = name_of(channel.transport);
    return json;
}

}  // namespace

std::string to_json(const PipelineSpec& spec) {
    Json json{{"pipeline", spec.name}, {"stages", Json::array()}, {"channels", Json::array()}};
    for (const auto& stage : spec.stages) json["stages"].push_back(stage_json(stage));
    for (const auto& channel : spec.channels) json["channels"].push_back(channel_json(channel));
    return json.dump(2) + '\n';
}

}  // namespace penstock
