#include <csignal>
#include <iostream>
#include <memory>
#include <ostream>
#include <sstream>
#include <string_view>

#include <penstock/error.hpp>
#include <penstock/runtime.hpp>

#include "cli/command.hpp"
#include "cli/failure.hpp"
#include "cli/options.hpp"
#include "cli/run_arguments.hpp"
#include "http/run_view.hpp"
#include "launch/job_launch.hpp"

namespace penstock::cli {
namespace {

constexpr std::array launch_words{Word<Launch>{"auto", Launch::automatic}, Word<Launch>{"local", Launch::local},
                                  Word<Launch>{"mpi", Launch::mpi}, Word<Launch>{"pmix", Launch::pmix},
                                  Word<Launch>{"tcp", Launch::tcp}};
constexpr std::array idle_words{Word<Idle>{"adaptive", Idle::adaptive}, Word<Idle>{"spin", Idle::spin},
                                Word<Idle>{"block", Idle::block}};
constexpr std::array bind_words{Word<Bind>{"auto", Bind::automatic}, Word<Bind>{"none", Bind::none},
                                Word<Bind>{"core", Bind::core}, Word<Bind>{"numa", Bind::numa}};

constexpr std::uint64_t max_arena_mib = 1U << 20U;

constexpr std::string_view exit_codes =
    "\n\nExit codes:\n"
    "  0  ok                    4  out of memory or space    70   internal error\n"
    "  1  the run failed        5  timed out or stalled      130  stopped by SIGINT\n"
    "  2  invalid input         6  a process is gone         138  stopped by SIGUSR1\n"
    "  3  unsupported                                        143  stopped by SIGTERM";

int finish(const Program& program, const RunArguments& arguments, const RunResult& result) {
    if (!result.coordinator || !speaks_for_job(arguments.options.launch)) return result.exit_code;
    if (!result.error.empty())
        report_failure(program, {.message = result.error, .exit_code = result.exit_code, .report = result.report});
    if (program.json && result.error.empty()) program.out << result.report << '\n';
    if (!program.json && !result.summary.empty()) program.out << result.summary;
    if (!program.json && !result.run_dir.empty()) program.out << "run directory: " << result.run_dir << '\n';
    return result.exit_code;
}

/// Loads the pipeline. The other ranks of an MPI job do not wait for one that has not got it.
PipelineSpec load_beside_others(const RunArguments& arguments) {
    try {
        return load(arguments.pipeline);
    } catch (const Error& error) {
        const Launch launch = resolved(arguments.options.launch);
        if (launch != Launch::local) tell_cannot_start(launch, error, arguments.options);
        throw;
    }
}

/// A batch system may warn of its time limit before there is anybody to hear it.
void hold_early_warning() {
    sigset_t warning;
    sigemptyset(&warning);
    sigaddset(&warning, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &warning, nullptr);
}

}  // namespace

int run_pipeline(const Program& program, RunArguments& arguments) {
    hold_early_warning();
    auto& options = arguments.options;
    options.arena_bytes = arguments.arena_mib << 20U;
    options.progress = !arguments.quiet;
    try {
        const auto spec = load_beside_others(arguments);
        // Its threads may only start when all processes are there, which the first status tells.
        std::unique_ptr<RunView> view;
        if (arguments.http_port >= 0) {
            options.on_status = [&](std::string_view status) {
                if (!view) {
                    view = std::make_unique<RunView>(arguments.http_port, spec.name);
                    program.err << "http://127.0.0.1:" << view->port() << "/stats\n";
                }
                view->update(status);
            };
        }
        options.on_phase_end = [&](const RunResult& result) {
            view.reset();  // the next phase starts processes, which have none of its threads
            hold_early_warning();
            if (!program.json) finish(program, arguments, result);
            program.out.flush();
        };
        options.on_abort = [&](const RunResult& result) {
            std::ostringstream text;
            Program last{.out = text, .err = program.err, .json = program.json};
            finish(last, arguments, result);
            std::cout << text.str() << std::flush;
        };
        Runtime runtime{options};
        return finish(program, arguments, runtime.try_run(spec));
    } catch (const Error&) {
        if (!speaks_for_job(options.launch)) return 0;  // or mpirun would end the one that says why
        throw;
    }
}

void add_run_options(CLI::App& command, RunArguments& arguments) {
    auto& options = arguments.options;
    add_choice(
        command, "--launch", options.launch, Vocabulary<Launch>{launch_words},
        "How the processes come to life: started here, or the ranks of a job that meet through MPI, PMIx or TCP");
    const auto read_transport = [&options](const std::string& name) { options.transport = transport_kind(name); };
    command.add_option_function<std::string>("--transport", read_transport, "Force one transport for every pair")
        ->type_name(choices_text(names_of(vocabulary::transport)))
        ->default_str("auto");
    add_choice(command, "--idle", options.idle, Vocabulary<Idle>{idle_words}, "How an idle process waits");
    add_choice(command, "--bind", options.bind, Vocabulary<Bind>{bind_words},
               "Which processors an instance runs on: its own cores, or those of one NUMA node");
    command.add_option("--runs-dir", options.runs_dir, "Where the run directory is made")
        ->type_name("DIR")
        ->capture_default_str();
    command.add_option("--arena-mib", arguments.arena_mib, "Most shared memory of one process, MiB")
        ->check(CLI::Range(std::uint64_t{1}, max_arena_mib))
        ->type_name("NUMBER")
        ->capture_default_str();
    add_duration(command, "--stall-timeout", options.stall_timeout,
                 "End the run when nothing moves for so long; 0 never");
    add_duration(command, "--heartbeat-timeout", options.heartbeat_timeout,
                 "End the run when another host is silent for so long; 0 never");
    add_duration(command, "--start-timeout", options.start_timeout, "For all processes to be up and connected");
    add_choice(command, "--log-level", options.log_level, Vocabulary<LogLevel>{level_words},
               "Least level that is logged");
    command
        .add_option("--http", arguments.http_port,
                    "Answer /health, /stats and /metrics on this port of 127.0.0.1; 0 any")
        ->check(CLI::Range(0, 65535))
        ->type_name("PORT");
    command.add_option("--phase", options.phase, "Of a pipeline with phases (\"after\"), only that of this stage")
        ->type_name("STAGE");
    command
        .add_option("--earlier", options.earlier,
                    "With --phase: the run that an earlier phase was; its directory, name or Slurm job. Repeatable")
        ->type_name("STAGE=RUN")
        ->allow_extra_args(false);
    command.add_flag("--no-progress", arguments.quiet, "No progress lines on standard error");
}

void add_run(CLI::App& app, Program& program) {
    auto* command = app.add_subcommand("run", "Run a pipeline to its end");
    const auto arguments = std::make_shared<RunArguments>();
    add_pipeline_arguments(*command, arguments->pipeline);
    add_run_options(*command, *arguments);
    add_json_flag(*command, program, "Print the final statistics as JSON");
    command->footer(examples({"penstock run jobs/streaming-demo.json",
                              "penstock run jobs/streaming-demo.json --set producer.total_batches=1000 --json",
                              "mpirun -n 5 penstock run jobs/streaming-demo.json"}) +
                    std::string{exit_codes});
    command->final_callback([&program, arguments] {
        program.action = [&program, arguments] { return run_pipeline(program, *arguments); };
    });
}

}  // namespace penstock::cli
