#include "cli/command.hpp"

namespace penstock::cli {

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
    for (const auto& setting : arguments.settings) apply_setting(spec, setting);
    return spec;
}

}  // namespace penstock::cli
