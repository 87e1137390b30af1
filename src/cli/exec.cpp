#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "cli/command.hpp"
#include "cli/options.hpp"
#include "cli/run_argument.hpp"
#include "launch/child_command.hpp"
#include "launch/peer_place.hpp"
#include "launch/process_identity.hpp"
#include "launch/run_record.hpp"
#include "launch/slurm.hpp"

namespace penstock::cli {
namespace {

struct ExecArguments {
    RunArgument run = {};
    std::string stage = {};
    std::uint32_t instance = 0;
};

void tell_command(const RunRecord& run, const ExecArguments& arguments, const PeerPlace& place) {
    const auto set = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
    set("PENSTOCK_RUN_DIR", run.path);
    set("PENSTOCK_STAGE", arguments.stage);
    set("PENSTOCK_INSTANCE", std::to_string(arguments.instance));
    set("PENSTOCK_RANK", std::to_string(place.rank));
    set("PENSTOCK_PID", std::to_string(place.pid));
    set("PENSTOCK_HOST", place.host);
}

/// Becomes the command, which gets the streams and whose exit code is ours.
[[noreturn]] void become(const std::vector<std::string>& words) {
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::signal(SIGPIPE, SIG_DFL);
    std::signal(SIGXFSZ, SIG_DFL);
    execvp(argv[0], argv.data());
    throw Error{Errc::invalid_input, "cannot run " + in_quotes(words[0]) + ": " + std::strerror(errno)};
}

[[nodiscard]] std::vector<std::string> through_slurm(const RunRecord& run, const PeerPlace& place) {
    const std::string node = place.host.substr(0, place.host.find('.'));  // Slurm's names of nodes have no domain
    std::vector<std::string> words{"srun",      "--overlap",          "--quiet",    "--jobid=" + run.slurm_job,
                                   "--nodes=1", "--nodelist=" + node, "--ntasks=1", "--mpi=none"};
    if (const auto part = part_of_job(run.slurm_job, node)) words.push_back("--het-group=" + std::to_string(*part));
    words.emplace_back("--");
    return words;
}

[[noreturn]] void execute_beside(const Program& program, const ExecArguments& arguments) {
    if (program.command_words.empty()) {
        throw Error{Errc::invalid_input, "there is no command; write it behind --, as in `penstock exec --stage " +
                                             arguments.stage + " -- ps`"};
    }
    const RunRecord run = read_run(arguments.run.find());
    if (run.is_over()) {
        throw Error{Errc::invalid_input, run.name() + " is over (" + run.state + "): its processes are gone"};
    }
    const PeerPlace place = find_peer(run.path, arguments.stage, arguments.instance);
    tell_command(run, arguments, place);
    std::vector<std::string> words;
    if (!(run.coordinator.is_in_reach() && place.host == host_name())) {
        if (run.slurm_job.empty() || !find_program("srun")) {
            throw Error{Errc::unsupported, arguments.stage + "." + std::to_string(arguments.instance) +
                                               " runs on host " + in_quotes(place.host) +
                                               ", and there is no Slurm job to reach it through; try `ssh " +
                                               printable(place.host) + "`"};
        }
        words = through_slurm(run, place);
    }
    words.insert(words.end(), program.command_words.begin(), program.command_words.end());
    become(words);
}

}  // namespace

void add_exec(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("exec", "Run a command on the node where an instance of a run is");
    const auto arguments = std::make_shared<ExecArguments>();
    add_run_argument(*command, arguments->run);
    command->add_option("--stage", arguments->stage, "The stage")->type_name("STAGE")->required();
    command->add_option("--instance", arguments->instance, "Which of its instances")
        ->type_name("NUMBER")
        ->capture_default_str();
    command->footer(
        examples({"penstock exec --stage consumer -- df -h .",
                  "penstock exec --stage processor --instance 1 "
                  "4711 -- sh -c 'gdb -p $PENSTOCK_PID -batch -ex bt'"}) +
        "\n\nThe command gets PENSTOCK_RUN_DIR, PENSTOCK_STAGE, PENSTOCK_INSTANCE, PENSTOCK_RANK, PENSTOCK_HOST "
        "and PENSTOCK_PID.");
    command->final_callback([&program, arguments] {
        program.action = [&program, arguments]() -> int { execute_beside(program, *arguments); };
    });
}

}  // namespace penstock::cli
