#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <utility>

#include <penstock/spec.hpp>

#include "base/quantity.hpp"
#include "base/quote.hpp"
#include "spec/json_fields.hpp"
#include "spec/json_params.hpp"
#include "spec/names.hpp"

namespace penstock {
namespace {

using Keys = std::span<const std::string_view>;

constexpr std::array<std::string_view, 5> top_keys{"pipeline", "stages", "channels", "description", "$schema"};
constexpr std::array<std::string_view, 14> stage_keys{
    "name",   "operator", "params",  "instances", "threads",   "morsel_kib", "target_utilization",
    "device", "env",      "timeout", "after",     "placement", "ordered",    "park_idle"};
constexpr std::array<std::string_view, 14> channel_keys{"name",     "from",     "to",        "route",    "key",
                                                        "capacity", "overflow", "by",        "dispatch", "compression",
                                                        "filter",   "sample",   "transport", "checksum"};
constexpr std::array<std::string_view, 2> compression_keys{"codec", "level"};
constexpr std::array<std::string_view, 2> capacity_keys{"payloads", "bytes"};
constexpr std::array<std::string_view, 5> placement_keys{"with", "per_node", "rule", "constraint", "partition"};

/// Whether the value is an object; adds the problem if not.
bool is_object(FileProblems& problems, const JsonValue& value, const std::string& pointer, std::string_view advice) {
    if (value.object() != nullptr) return true;
    problems.add(value.line, pointer, "must be an object, not " + value.text() + "; write " + std::string{advice});
    return false;
}

bool is_variable(std::string_view name) noexcept {
    const auto legal = [](char letter) {
        return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') ||
               (letter >= '0' && letter <= '9') || letter == '_';
    };
    return !name.empty() && !(name.front() >= '0' && name.front() <= '9') && std::ranges::all_of(name, legal);
}

class Reader {
public:
    explicit Reader(FileProblems& problems) : problems_{problems} {}

    void read(const JsonValue& root, PipelineSpec& spec) {
        if (!is_object(problems_, root, "", R"({"pipeline": "demo", "stages": [...], "channels": [...]})")) return;
        const JsonFields fields{problems_, root, ""};
        fields.refuse_unknown_keys(top_keys);
        static_cast<void>(fields.text("description"));
        static_cast<void>(fields.text("$schema"));
        if (auto name = fields.name("pipeline", "demo")) spec.name = std::move(*name);
        read_stages(fields, spec);
        read_channels(fields, spec);
    }

private:
    void read_stages(const JsonFields& fields, PipelineSpec& spec) {
        constexpr auto advice = R"([{"name": "make", "operator": "records"}])";
        if (!fields.require("stages", advice)) return;
        const auto* list = read_list(fields, "stages", max_stages, advice);
        if (list == nullptr) return;
        if (list->empty())
            fields.refuse("stages", "must have at least one stage; write \"stages\": " + std::string{advice});
        for (const auto& value : *list) {
            const auto pointer = pointer_to("/stages", static_cast<std::size_t>(&value - list->data()));
            if (is_object(problems_, value, pointer, R"({"name": "make", "operator": "records"})")) {
                spec.stages.push_back(read_stage(value, pointer));
            }
        }
    }

    void read_channels(const JsonFields& fields, PipelineSpec& spec) {
        if (!fields.require("channels", channels_advice(spec))) return;
        const auto* list = read_list(fields, "channels", max_channels, channels_advice(spec));
        if (list == nullptr) return;
        for (const auto& value : *list) {
            const auto pointer = pointer_to("/channels", static_cast<std::size_t>(&value - list->data()));
            if (is_object(problems_, value, pointer, R"({"from": "make", "to": "write"})")) {
                spec.channels.push_back(read_channel(value, pointer));
            }
        }
    }

    static std::string channels_advice(const PipelineSpec& spec) {
        const bool known = spec.stages.size() >= 2 && !spec.stages[0].name.empty() && !spec.stages[1].name.empty();
        const auto from = known ? spec.stages[0].name : "make";
        const auto to = known ? spec.stages[1].name : "write";
        return R"([{"from": ")" + from + R"(", "to": ")" + to + R"("}])";
    }

    /// The list under the key, or null after the problem is added.
    static const JsonValue::List* read_list(const JsonFields& fields, std::string_view key, std::size_t limit,
                                            const std::string& advice) {
        const JsonValue* value = fields.find(key);
        const auto* list = value->list();
        if (list == nullptr) {
            fields.refuse(key, "must be a list, not " + value->text() + "; write " + in_quotes(key) + ": " + advice);
        } else if (list->size() > limit) {
            fields.refuse(key, "has " + std::to_string(list->size()) + " elements, the limit is " +
                                   std::to_string(limit) + "; use instances instead of equal stages");
            return nullptr;
        }
        return list;
    }

    StageSpec read_stage(const JsonValue& value, const std::string& pointer) {
        const JsonFields fields{problems_, value, pointer};
        StageSpec stage{.name = "", .operator_name = "", .where = problems_.place(value.line, pointer)};
        fields.refuse_unknown_keys(stage_keys);
        fields.require("name", "\"make\"");
        fields.require("operator", "\"records\"");
        if (auto name = fields.name("name", "make")) stage.name = std::move(*name);
        if (auto name = fields.text("operator")) stage.operator_name = std::move(*name);
        stage.instances = read_instances(fields);
        if (const auto device = fields.word("device", vocabulary::device)) stage.device = *device;
        read_threads(fields, stage);
        read_flags(fields, stage);
        read_params(fields, stage);
        read_env(fields, stage);
        read_placement(fields, stage);
        read_timeout(fields, stage);
        read_after(fields, stage);
        return stage;
    }

    static int read_instances(const JsonFields& fields) {
        const JsonValue* value = fields.find("instances");
        const auto* word = value == nullptr ? nullptr : std::get_if<std::string>(&value->value);
        if (word != nullptr && *word == "fill") return StageSpec::fill;
        const auto number = fields.integer("instances", {.minimum = 1, .maximum = max_instances, .advice = 2});
        return static_cast<int>(number.value_or(1));
    }

    static void read_threads(const JsonFields& fields, StageSpec& stage) {
        const auto number = fields.integer("threads", {.minimum = 1, .maximum = max_threads, .advice = 2});
        stage.threads = static_cast<int>(number.value_or(stage.threads));
        const JsonValue* morsel = fields.find("morsel_kib");
        const auto* word = morsel == nullptr ? nullptr : std::get_if<std::string>(&morsel->value);
        if (word != nullptr && *word == "auto") {
            stage.morsel_kib = 0;
        } else {
            const auto kib = fields.integer(
                "morsel_kib", {.minimum = least_morsel_kib, .maximum = most_morsel_kib, .advice = stage.morsel_kib});
            stage.morsel_kib = static_cast<int>(kib.value_or(stage.morsel_kib));
        }
        read_target(fields, stage);
    }

    static void read_target(const JsonFields& fields, StageSpec& stage) {
        const JsonValue* value = fields.find("target_utilization");
        if (value == nullptr) return;
        std::optional<double> target;
        if (const auto* number = std::get_if<std::int64_t>(&value->value)) target = static_cast<double>(*number);
        if (const auto* number = std::get_if<Decimal>(&value->value)) target = number->value;
        if (target && *target >= 0 && *target <= 1) {
            stage.target_utilization = *target;
        } else {
            fields.refuse("target_utilization",
                          "must be a number from 0 to 1, not " + value->text() + "; write \"target_utilization\": 0.8");
        }
    }

    static void read_flags(const JsonFields& fields, StageSpec& stage) {
        stage.park_idle = flag(fields, "park_idle");
        if (flag(fields, "ordered")) fields.refuse_unavailable("ordered");
    }

    static bool flag(const JsonFields& fields, std::string_view key) {
        const JsonValue* value = fields.find(key);
        if (value == nullptr) return false;
        if (const auto* flag = std::get_if<bool>(&value->value)) return *flag;
        fields.refuse(key, "must be true or false, not " + value->text() + "; write " + in_quotes(key) + ": false");
        return false;
    }

    void read_params(const JsonFields& fields, StageSpec& stage) {
        const JsonValue* value = fields.find("params");
        if (value == nullptr || !is_object(problems_, *value, fields.pointer("params"), R"({"factor": 2.0})")) return;
        for (const auto& [key, given, line] : *value->object()) {
            auto param = read_param(problems_, given, pointer_to(fields.pointer("params"), key));
            if (param) stage.params.set(key, std::move(*param));
        }
    }

    /// One of the words, or {"with": "make"}, or {"per_node": 2}, or {"rule": "pack"}; and on which nodes.
    void read_placement(const JsonFields& fields, StageSpec& stage) {
        const JsonValue* value = fields.find("placement");
        if (value == nullptr) return;
        if (value->object() == nullptr) {
            if (const auto rule = fields.word("placement", vocabulary::placement)) stage.placement.rule = *rule;
            return;
        }
        const JsonFields keys{problems_, *value, fields.pointer("placement")};
        keys.refuse_unknown_keys(placement_keys);
        const auto has = [&](std::string_view key) { return keys.find(key) != nullptr; };
        const int rules = int{has("with")} + int{has("per_node")} + int{has("rule")};
        if (rules > 1 || (rules == 0 && !has("constraint") && !has("partition"))) {
            fields.refuse("placement",
                          R"(must have one of "with", "per_node" and "rule", or "constraint" or "partition"; write )"
                          R"("placement": {"per_node": 1})");
            return;
        }
        if (auto other = keys.text("with")) stage.placement = StagePlacement::with(std::move(*other));
        if (const auto number = keys.integer("per_node", {.minimum = 1, .maximum = max_per_node, .advice = 1})) {
            stage.placement = StagePlacement::on_each_node(static_cast<int>(*number));
        }
        if (const auto rule = keys.word("rule", vocabulary::placement)) stage.placement.rule = *rule;
        if (auto text = filled_text(keys, "constraint", "gpu")) stage.placement.constraint = std::move(*text);
        if (auto text = filled_text(keys, "partition", "gpu")) stage.placement.partition = std::move(*text);
    }

    static std::optional<std::string> filled_text(const JsonFields& fields, std::string_view key,
                                                  std::string_view advice) {
        auto text = fields.text(key);
        if (text && text->empty()) {
            fields.refuse(key, "must not be empty; write " + in_quotes(key) + ": " + in_quotes(advice));
        }
        return text;
    }

    static void read_timeout(const JsonFields& fields, StageSpec& stage) {
        const JsonValue* value = fields.find("timeout");
        if (value == nullptr) return;
        const auto* text = std::get_if<std::string>(&value->value);
        const auto timeout = text == nullptr ? std::nullopt : parse_duration(*text);
        if (timeout && timeout->count() > 0) {
            stage.timeout = *timeout;
        } else {
            fields.refuse("timeout", "must be a text like \"90s\" or \"2h\", more than 0 and at most a year, not " +
                                         value->text() + "; write \"timeout\": \"90s\"");
        }
    }

    /// The name of a stage, or a list of them.
    static void read_after(const JsonFields& fields, StageSpec& stage) {
        const JsonValue* value = fields.find("after");
        if (value == nullptr) return;
        const auto add = [&stage](const JsonValue& each) {
            const auto* name = std::get_if<std::string>(&each.value);
            if (name != nullptr) stage.after.push_back(*name);
            return name != nullptr;
        };
        if (const auto* list = value->list(); list != nullptr ? std::ranges::all_of(*list, add) : add(*value)) return;
        fields.refuse("after", "must be the name of a stage or a list of such names, not " + value->text() +
                                   "; write \"after\": [\"make\"]");
    }

    void read_env(const JsonFields& fields, StageSpec& stage) {
        const JsonValue* value = fields.find("env");
        if (value == nullptr || !is_object(problems_, *value, fields.pointer("env"), R"({"BATCH_SIZE": "1000"})"))
            return;
        for (const auto& [key, given, line] : *value->object()) {
            const auto pointer = pointer_to(fields.pointer("env"), key);
            if (!is_variable(key)) {
                problems_.add(line, pointer, "is no name of a variable; use letters, digits and \"_\"");
            } else if (const auto text = env_text(given)) {
                stage.env.insert_or_assign(key, *text);
            } else {
                problems_.add(given.line, pointer,
                              "must be a string without NUL or a number, not " + given.text() + "; write " +
                                  in_quotes(key) + ": \"1\"");
            }
        }
    }

    static std::optional<std::string> env_text(const JsonValue& value) {
        if (const auto* text = std::get_if<std::string>(&value.value)) {
            if (text->find('\0') != std::string::npos) return std::nullopt;
            return *text;
        }
        if (const auto* number = std::get_if<std::int64_t>(&value.value)) return std::to_string(*number);
        if (const auto* number = std::get_if<Decimal>(&value.value)) return number->text;
        return std::nullopt;
    }

    ChannelSpec read_channel(const JsonValue& value, const std::string& pointer) {
        const JsonFields fields{problems_, value, pointer};
        ChannelSpec channel{.from = "", .to = "", .where = problems_.place(value.line, pointer)};
        fields.refuse_unknown_keys(channel_keys);
        fields.require("from", "\"make\"");
        fields.require("to", "\"write\"");
        if (auto name = fields.name("name", "link")) channel.name = std::move(*name);
        if (auto name = fields.text("from")) channel.from = std::move(*name);
        if (auto name = fields.text("to")) channel.to = std::move(*name);
        if (const auto route = fields.word("route", vocabulary::route)) channel.route = *route;
        if (const auto policy = fields.word("overflow", vocabulary::overflow)) channel.overflow = *policy;
        if (const auto kind = fields.word("transport", vocabulary::transport)) channel.transport = *kind;
        if (const auto dispatch = fields.word("dispatch", vocabulary::dispatch)) channel.dispatch = *dispatch;
        if (const auto by = fields.word("by", vocabulary::by)) channel.by = *by;
        read_filter(fields, channel);
        const auto sample = fields.integer("sample", {.minimum = 1, .maximum = max_sample, .advice = 10});
        if (sample) channel.sample = static_cast<std::uint32_t>(*sample);
        read_compression(fields, channel);
        if (const auto checksum = fields.word("checksum", vocabulary::checksum)) channel.checksum = *checksum;
        read_key(fields, channel);
        read_capacity(fields, channel);
        return channel;
    }

    static void read_filter(const JsonFields& fields, ChannelSpec& channel) {
        auto filter = fields.text("filter");
        if (!filter) return;
        if (const auto problem = filter_problem(*filter)) fields.refuse("filter", *problem);
        channel.filter = std::move(*filter);
    }

    /// "lz4", or {"codec": "zstd", "level": 3}.
    void read_compression(const JsonFields& fields, ChannelSpec& channel) {
        const JsonValue* value = fields.find("compression");
        if (value == nullptr) return;
        if (value->object() == nullptr) {
            if (const auto codec = fields.word("compression", vocabulary::codec)) channel.compression.codec = *codec;
            return;
        }
        const JsonFields keys{problems_, *value, fields.pointer("compression")};
        keys.refuse_unknown_keys(compression_keys);
        if (!keys.require("codec", "\"lz4\"")) return;
        const auto codec = keys.word("codec", vocabulary::codec);
        if (!codec) return;
        channel.compression.codec = *codec;
        if (*codec == Codec::none) {
            if (keys.find("level") != nullptr) keys.refuse("level", "is of no use to the codec \"none\"; remove it");
            return;
        }
        const CodecLevels levels = levels_of(*codec);
        const auto level =
            keys.integer("level", {.minimum = levels.lowest, .maximum = levels.highest, .advice = levels.usual});
        if (level) channel.compression.level = static_cast<int>(*level);
    }

    static void read_key(const JsonFields& fields, ChannelSpec& channel) {
        auto key = fields.text("key");
        if (!key) return;
        if (key->empty() || key->size() > max_key_bytes) {
            fields.refuse("key", "must have 1 to 255 bytes, has " + std::to_string(key->size()) +
                                     "; write the name of a metadata key, \"key\": \"id\"");
        }
        channel.key = std::move(*key);
    }

    void read_capacity(const JsonFields& fields, ChannelSpec& channel) {
        const JsonValue* value = fields.find("capacity");
        if (value == nullptr) return;
        constexpr IntegerRange payloads{.minimum = 1, .maximum = max_capacity, .advice = 64};
        if (value->object() == nullptr) {
            if (const auto number = fields.integer("capacity", payloads))
                channel.capacity = static_cast<std::uint32_t>(*number);
            return;
        }
        const JsonFields limits{problems_, *value, fields.pointer("capacity")};
        limits.refuse_unknown_keys(capacity_keys);
        if (const auto number = limits.integer("payloads", payloads))
            channel.capacity = static_cast<std::uint32_t>(*number);
        if (const auto bytes = read_bytes(limits)) channel.capacity_bytes = *bytes;
    }

    static std::optional<std::uint64_t> read_bytes(const JsonFields& fields) {
        const JsonValue* value = fields.find("bytes");
        if (value == nullptr) return std::nullopt;
        std::optional<std::uint64_t> bytes;
        if (const auto* text = std::get_if<std::string>(&value->value)) bytes = parse_bytes(*text);
        if (const auto number = as_integer(*value); number && *number > 0) bytes = static_cast<std::uint64_t>(*number);
        if (bytes.value_or(0) > 0) return bytes;
        fields.refuse("bytes", "must be a number of bytes from 1 or a text like \"64MiB\", not " + value->text() +
                                   "; write \"bytes\": \"64MiB\"");
        return std::nullopt;
    }

    FileProblems& problems_;
};

/// The name of a pipeline that does not say its own: that of its file.
std::string name_from_file(std::string_view file) {
    file.remove_prefix(std::min(file.rfind('/') + 1, file.size()));
    if (file.ends_with(".json")) file.remove_suffix(5);
    return as_name(file, "pipeline");
}

}  // namespace

PipelineSpec parse_pipeline(std::string_view text, const std::string& name) {
    FileProblems problems{name};
    PipelineSpec spec{.name = name_from_file(name), .stages = {}, .channels = {}, .file = name};
    if (const auto root = parse_json(text, problems)) Reader{problems}.read(*root, spec);
    problems.throw_if_any();
    return spec;
}

}  // namespace penstock
