#include <memory>
#include <ostream>

#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "base/table.hpp"
#include "cli/command.hpp"
#include "cli/operator_text.hpp"
#include "cli/options.hpp"
#include "spec/param_json.hpp"
#include "transports/make.hpp"

namespace penstock::cli {
namespace {

using Json = nlohmann::ordered_json;

Json param_info_json(const ParamInfo& param) {
    Json json{{"name", param.name}, {"type", name_of(param.kind)}, {"help", param.help}};
    json["required"] = !param.fallback.has_value();
    if (param.fallback) json["default"] = param_json(*param.fallback);
    if (!param.unit.empty()) json["unit"] = param.unit;
    if (!param.env.empty()) json["env"] = param.env;
    if (param.minimum) json["minimum"] = *param.minimum;
    if (param.maximum) json["maximum"] = *param.maximum;
    if (!param.choices.empty()) json["choices"] = param.choices;
    return json;
}

Json operator_json(const OperatorInfo& info) {
    Json json{{"name", info.name},   {"kind", name_of(info.kind)}, {"help", info.help},
              {"input", info.input}, {"output", info.output},      {"params", Json::array()}};
    for (const auto& param : info.params) json["params"].push_back(param_info_json(param));
    return json;
}

/// What flows in and out: "text/csv -> any", only one side for a source or a sink.
std::string flow_text(const OperatorInfo& info) {
    switch (info.kind) {
        case OperatorKind::source: return "-> " + type_text(info.output);
        case OperatorKind::sink: return type_text(info.input) + " ->";
        case OperatorKind::processor: break;
    }
    return type_text(info.input) + " -> " + type_text(info.output);
}

void print_operator(std::ostream& out, const OperatorInfo& info) {
    out << info.name << ": " << name_of(info.kind) << ", " << flow_text(info) << '\n';
    if (!info.help.empty()) out << info.help << '\n';
    if (info.params.empty()) {
        out << (info.any_params ? "\nTakes any parameters.\n" : "\nTakes no parameters.\n");
        return;
    }
    Table table{{"parameter", "type", "unit", "default", "legal", "env", "meaning"}};
    for (const auto& param : info.params) {
        table.add({param.name, std::string{name_of(param.kind)}, param.unit,
                   param.fallback ? param.fallback->text() : "required", legal_text(param), param.env, param.help});
    }
    out << '\n' << table.text();
}

int list_operators(const Program& program, const Registry& registry) {
    if (program.json) {
        Json json = Json::array();
        for (const auto* info : registry.list()) json.push_back(operator_json(*info));
        program.out << json_text(json);
        return 0;
    }
    Table table{{"operator", "kind", "payloads", "meaning"}};
    for (const auto* info : registry.list()) {
        table.add({info->name, std::string{name_of(info->kind)}, flow_text(*info), info->help});
    }
    program.out << table.text();
    return 0;
}

int show_operator(const Program& program, const Registry& registry, const std::string& name) {
    const auto* info = registry.find(name);
    if (info == nullptr) {
        std::vector<std::string_view> names;
        for (const auto* known : registry.list()) names.push_back(known->name);
        throw Error{Errc::invalid_input, "unknown operator " + in_quotes(name) + suggestion(name, names, "known are")};
    }
    if (program.json) {
        program.out << json_text(operator_json(*info));
    } else {
        print_operator(program.out, *info);
    }
    return 0;
}

int list_transports(const Program& program) {
    if (program.json) {
        Json json = Json::array();
        for (const auto& info : known_transports()) {
            json.push_back({{"name", info.name}, {"built", info.built}, {"use", info.use}});
            if (!info.built) json.back()["remedy"] = info.remedy;
            if (!info.here.empty()) json.back()["here"] = info.here;
            if (info.device_memory) json.back()["device_memory"] = *info.device_memory;
        }
        program.out << json_text(json);
        return 0;
    }
    Table table{{"transport", "built in", "for"}};
    for (const auto& info : known_transports()) {
        std::string use{info.use};
        if (!info.built) use.append("; to get it: ").append(info.remedy);
        if (!info.here.empty()) use.append("; here: ").append(info.here);
        table.add({std::string{info.name}, info.built ? "yes" : "no", std::move(use)});
    }
    program.out << table.text();
    return 0;
}

}  // namespace

void add_operators(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("operators", "List the operators, or show one with its parameters");
    const auto name = std::make_shared<std::string>();
    const auto markdown = std::make_shared<bool>(false);
    command->add_option("name", *name, "Show this operator")->type_name("OPERATOR");
    add_json_flag(*command, program, "Print the answer as JSON");
    command->add_flag("--markdown", *markdown, "Print all of them as a page of Markdown");
    command->footer(examples({"penstock operators", "penstock operators records", "penstock operators --markdown"}));
    command->final_callback([&program, name, markdown] {
        program.action = [&program, name, markdown] {
            const auto registry = Registry::with_builtins();
            if (*markdown && (program.json || !name->empty())) {
                throw Error{Errc::invalid_input,
                            "--markdown prints all operators as one page; leave out --json and the name"};
            }
            if (*markdown) {
                program.out << operators_page(registry);
                return 0;
            }
            return name->empty() ? list_operators(program, registry) : show_operator(program, registry, *name);
        };
    });
}

void add_transports(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("transports", "List the transports and whether they are built in");
    add_json_flag(*command, program, "Print the answer as JSON");
    command->footer(examples({"penstock transports"}));
    command->final_callback([&program] { program.action = [&program] { return list_transports(program); }; });
}

void add_schema(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("schema", "Print the JSON Schema of the pipeline file, for editors");
    command->footer(examples({"penstock schema > pipeline.schema.json"}));
    command->final_callback([&program] {
        program.action = [&program] {
            program.out << pipeline_schema();
            return 0;
        };
    });
}

}  // namespace penstock::cli
