#include <algorithm>
#include <vector>

#include <penstock/error.hpp>
#include <penstock/spec.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "spec/json_fields.hpp"
#include "spec/json_params.hpp"
#include "spec/names.hpp"

namespace penstock {
namespace {

/// The stage that the left side names. Names may have dots in them: the longest one that fits is meant.
StageSpec* find_stage(PipelineSpec& spec, std::string_view path) {
    StageSpec* found = nullptr;
    for (auto& stage : spec.stages) {
        const bool fits =
            path.size() > stage.name.size() && path[stage.name.size()] == '.' && path.starts_with(stage.name);
        if (fits && (found == nullptr || stage.name.size() > found->name.size())) found = &stage;
    }
    return found;
}

[[noreturn]] void refuse_stage(const PipelineSpec& spec, std::string_view name) {
    std::vector<std::string_view> names;
    for (const auto& stage : spec.stages) names.push_back(stage.name);
    throw Error{Errc::invalid_input, "no stage " + in_quotes(name) + suggestion(name, names, "the stages are")};
}

/// The right side as JSON; nothing if it is none and stands for itself.
std::optional<JsonValue> read_value(std::string_view text) {
    FileProblems ignored{""};
    return parse_json(text, ignored);
}

int read_count(std::string_view text, int most) {
    const auto value = read_value(text);
    const auto number = value ? as_integer(*value) : std::nullopt;
    if (!number || *number < 1 || *number > most) {
        throw Error{Errc::invalid_input,
                    "must be a number from 1 to " + std::to_string(most) + ", not " + in_quotes(text)};
    }
    return static_cast<int>(*number);
}

ParamValue read_setting(std::string_view text) {
    const auto value = read_value(text);
    if (!value) return ParamValue{std::string{text}};
    FileProblems problems{"value"};
    auto param = read_param(problems, *value, "");
    problems.throw_if_any();
    return *param;
}

}  // namespace

void apply_setting(PipelineSpec& spec, std::string_view setting) {
    const auto equals = setting.find('=');
    const auto path = setting.substr(0, std::min(equals, setting.size()));
    const auto dot = path.find('.');
    if (equals == std::string_view::npos || dot == std::string_view::npos || dot == 0 || path.ends_with('.')) {
        throw Error{Errc::invalid_input, "cannot read the setting " + in_quotes(setting) +
                                             "; write stage.param=value, for example producer.batch_size=500"};
    }
    StageSpec* stage = find_stage(spec, path);
    if (stage == nullptr) refuse_stage(spec, path.substr(0, path.rfind('.')));
    const auto param = path.substr(stage->name.size() + 1);
    const auto text = setting.substr(equals + 1);
    with_context([&] { return "applying the setting " + in_quotes(setting); },
                 [&] {
                     if (param == "instances") {
                         stage->instances = text == "fill" ? StageSpec::fill : read_count(text, max_instances);
                     } else if (param == "threads") {
                         stage->threads = read_count(text, max_threads);
                     } else {
                         stage->params.set(std::string{param}, read_setting(text));
                     }
                 });
}

}  // namespace penstock
