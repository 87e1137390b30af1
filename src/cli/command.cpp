#include "cli/command.hpp"

#include <cstdlib>

namespace penstock::cli {
namespace {

/// Parameters that go by a variable of the environment take its value, whatever the file says.
void apply_environment(PipelineSpec& spec, const Registry& registry) {
    for (auto& stage : spec.stages) {
        const OperatorInfo* info = registry.find(stage.operator_name);
        if (info == nullptr) continue;
        for (const auto& param : info->params) {
            const char* value = param.env.empty() ? nullptr : std::getenv(param.env.c_str());
            if (value == nullptr) continue;
            stage.params.remove(param.name);
            stage.env.insert_or_assign(param.env, value);
        }
    }
}

}  // namespace

void add_pipeline_arguments(CLI::App& command, PipelineArguments& arguments) {
    command.add_option("file", arguments.file, "Pipeline file (JSON)")->type_name("FILE")->required();
    command.add_option("--set", arguments.settings, "Set a parameter or the instances of a stage; repeatable")
        ->type_name("STAGE.PARAM=VALUE")
        ->allow_extra_args(false);
}

void add_json_flag(CLI::App& command, Program& program, const std::string& help) {
    command.add_flag("--json", program.json, help);
}

PipelineSpec load(const PipelineArguments& arguments) {
    auto spec = load_pipeline(arguments.file);
    apply_environment(spec, Registry::with_builtins());
    for (const auto& setting : arguments.settings) apply_setting(spec, setting);
    return spec;
}

}  // namespace penstock::cli
