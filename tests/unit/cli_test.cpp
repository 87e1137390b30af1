#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <penstock/operator.hpp>
#include <penstock/spec.hpp>
#include <penstock/version.hpp>

#include "unit/penstock_with.hpp"

namespace penstock::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

const std::string demo = PENSTOCK_SOURCE_DIR "/jobs/streaming-demo.json";
const std::string fan_out = PENSTOCK_SOURCE_DIR "/jobs/fan-out.json";

TEST(Program, WithoutACommandHelpsAndFails) {
    const auto answer = penstock_with({});

    EXPECT_EQ(answer.code, 2);
    EXPECT_THAT(answer.out, IsEmpty());
    EXPECT_THAT(answer.err, HasSubstr("Usage: penstock"));
}

TEST(Program, TellsItsVersion) {
    const auto answer = penstock_with({"--version"});

    EXPECT_EQ(answer.code, 0);
    EXPECT_EQ(answer.out, "penstock " + std::string{version} + "\n");
}

TEST(Program, HelpsWithExamples) {
    const auto answer = penstock_with({"--help"});

    EXPECT_EQ(answer.code, 0);
    EXPECT_THAT(answer.out, AllOf(HasSubstr("Examples:\n  penstock run"), HasSubstr("validate, check, lint")));
    EXPECT_THAT(answer.err, IsEmpty());
}

class Command : public testing::TestWithParam<const char*> {};

TEST_P(Command, HelpsTheSameByFlagAndByCommand) {
    const auto by_flag = penstock_with({GetParam(), "--help"});
    const auto by_command = penstock_with({"help", GetParam()});

    EXPECT_EQ(by_flag.code, 0);
    EXPECT_EQ(by_command.code, 0);
    EXPECT_THAT(by_flag.out, HasSubstr("Examples:\n"));
    EXPECT_EQ(by_flag.out, by_command.out);
}

INSTANTIATE_TEST_SUITE_P(Program, Command,
                         testing::Values("run", "launch", "exec", "validate", "graph", "plan", "operators",
                                         "transports", "schema", "completion"));

TEST(Program, ExplainsExitCodes) {
    EXPECT_THAT(penstock_with({"run", "--help"}).out, AllOf(HasSubstr("Exit codes:"), HasSubstr("143  stopped")));
}

TEST(Program, SuggestsACommand) {
    const auto answer = penstock_with({"rnu", demo});

    EXPECT_EQ(answer.code, 2);
    EXPECT_EQ(answer.err, "penstock: invalid input: unknown command \"rnu\"; did you mean \"run\"?\n");
}

TEST(Program, SuggestsAnOption) {
    EXPECT_THAT(penstock_with({"graph", demo, "--fromat=dot"}).err,
                HasSubstr("unknown option \"--fromat\"; did you mean \"--format\"?"));
    EXPECT_THAT(penstock_with({"run", "--lanch", "local"}).err, HasSubstr("did you mean \"--launch\"?"));
}

struct BadWords {
    std::vector<std::string> words;
    const char* message;
};

TEST(Launch, PrintsTheScriptWithTheOptionsOfTheRunAndOfSbatch) {
    const auto answer =
        penstock_with({"launch", demo, "--print", "-p", "gpu", "--exclusive", "--sbatch=--qos=high", "--sbatch",
                       "-C big", "--set", "processor.instances=3", "--set", "producer.total_batches=7",
                       "--transport=mpi", "--no-progress", "--runs-dir", "r", "--drain-time", "90s"});

    EXPECT_EQ(answer.code, 0) << answer.err;
    EXPECT_THAT(
        answer.out,
        AllOf(HasSubstr("#SBATCH --ntasks=6\n"), HasSubstr("#SBATCH --signal=USR1@90\n"),
              HasSubstr("#SBATCH --partition=gpu\n#SBATCH --exclusive\n#SBATCH --qos=high\n#SBATCH --constraint=big\n"),
              HasSubstr(" " + demo +
                        " --set=processor.instances=3 --set=producer.total_batches=7 --transport=mpi "
                        "--no-progress\n"),
              HasSubstr("/r\n"), HasSubstr("\nsrun --mpi=pmix")));
}

TEST(Launch, DoesNotLeaveAJobWaitingForOneThatHasFailed) {
    EXPECT_THAT(penstock_with({"launch", demo, "--print", "-d", "afterok:1"}).out,
                HasSubstr("#SBATCH --dependency=afterok:1\n#SBATCH --kill-on-invalid-dep=yes\n"));
    EXPECT_THAT(penstock_with({"launch", demo, "--print", "-d", "afterok:1", "--sbatch=kill-on-invalid-dep=no"}).out,
                Not(HasSubstr("=yes")));
}

TEST(Launch, KnowsAnOptionOfSbatchHoweverItIsWritten) {
    const auto script = [](std::vector<std::string> words) {
        words.insert(words.begin(), {"launch", demo, "--print"});
        return penstock_with(words).out;
    };
    EXPECT_THAT(script({"--sbatch=-d afterok:1"}),
                HasSubstr("--dependency=afterok:1\n#SBATCH --kill-on-invalid-dep=yes\n"));
    EXPECT_THAT(script({"--sbatch=-c8"}), AllOf(HasSubstr("#SBATCH --ntasks=5\n#SBATCH --cpus-per-task=8\n"),
                                                HasSubstr(" --ntasks=5 --cpus-per-task=8 ")));
    EXPECT_THAT(script({"--sbatch=cpus-per-task=8", "--launch", "local"}), HasSubstr("#SBATCH --cpus-per-task=8\n"));
}

TEST(Launch, IsOneTaskForProcessesOfItsOwn) {
    EXPECT_THAT(penstock_with({"launch", demo, "--print", "--launch", "local"}).out,
                AllOf(HasSubstr("#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=5\n"), HasSubstr("srun --kill-on")));
}

TEST(Launch, FillsOnlyAJobWhoseSizeIsSaid) {
    const std::vector<std::string> fill{"launch", demo, "--print", "--set", "processor.instances=fill"};
    EXPECT_THAT(penstock_with(fill).err, HasSubstr("say with --ntasks"));
    auto with_tasks = fill;
    with_tasks.insert(with_tasks.end(), {"-n", "9"});
    EXPECT_THAT(penstock_with(with_tasks).out, HasSubstr("#SBATCH --ntasks=9\n"));
}

TEST(Exec, LeavesWhatStandsBehindTheDashesAlone) {
    EXPECT_THAT(penstock_with({"exec", "--stage", "a", "--runs-dir", "/nonexistent", "--", "ls", "--stage"}).err,
                HasSubstr("there is no run in \"/nonexistent\""));
    EXPECT_THAT(penstock_with({"exec", "--stage", "a"}).err, HasSubstr("there is no command; write it behind --"));
}

class BadCommandLine : public testing::TestWithParam<BadWords> {};

TEST_P(BadCommandLine, IsInvalidInput) {
    const auto answer = penstock_with(GetParam().words);

    EXPECT_EQ(answer.code, 2);
    EXPECT_THAT(answer.out, IsEmpty());
    EXPECT_THAT(answer.err, AllOf(StartsWith("penstock: invalid input: "), HasSubstr(GetParam().message)));
}

INSTANTIATE_TEST_SUITE_P(
    Program, BadCommandLine,
    testing::Values(BadWords{{"run"}, "file is required; see `penstock run --help`"},
                    BadWords{{"run", demo, "surplus"}, "unexpected argument \"surplus\""},
                    BadWords{{"run", demo, "--launch", "slurm"}, "use one of auto, local, mpi"},
                    BadWords{{"launch", demo, "-n", "3"}, "needs 5 tasks"},
                    BadWords{{"launch", demo, "--sbatch", "wrap=ls"}, "is penstock's own"},
                    BadWords{{"launch", demo, "--sbatch=-a 0-3"}, "is penstock's own"},
                    BadWords{{"launch", demo, "--sbatch=test-only"}, "is penstock's own"},
                    BadWords{{"launch", demo, "--print", "--sbatch=-c4", "--launch", "local"}, "needs 5 cores"},
                    BadWords{{"launch", demo, "--dry-run", "-N", "4294967297"}, "more than any"},
                    BadWords{{"launch", demo, "--print", "-J", "a\nb"}, "control character"},
                    BadWords{{"launch", demo, "--wait-timeout", "1s"}, "is for --wait"},
                    BadWords{{"run", demo, "--idle", "spni"}, "did you mean \"spin\"?"},
                    BadWords{{"run", demo, "--transport", "tcp"}, "unknown transport \"tcp\""},
                    BadWords{{"run", demo, "--arena-mib", "0"}, "--arena-mib"},
                    BadWords{{"run", demo, "--arena-mib", "much"}, "--arena-mib"},
                    BadWords{{"run", demo, "--stall-timeout", "30"}, "is no duration"},
                    BadWords{{"run", demo, "--log-level", "loud"}, "use one of debug, info, warn, error"},
                    BadWords{{"run", demo, "--set", "nothing"}, "write stage.param=value"},
                    BadWords{{"run", demo, "--set", "consumr.x=1"}, "did you mean \"consumer\"?"},
                    BadWords{{"run", "/no/such/file.json"}, "no such file"},
                    BadWords{{"plan", demo, "--set", "consumer.instances=0"}, "from 1 to 100000"},
                    BadWords{{"help", "rnu"}, "did you mean \"run\"?"},
                    BadWords{{"--jsno"}, "unknown option \"--jsno\""},
                    BadWords{{"completion", "tcsh"}, "use one of bash, zsh, fish"},
                    BadWords{{"operators", "record"}, "did you mean \"records\"?"}));

TEST(Program, ReportsErrorsAsJsonWhenAsked) {
    const auto answer = penstock_with({"validate", "/no/such/file.json", "--json"});

    const auto json = nlohmann::json::parse(answer.out);
    EXPECT_EQ(answer.code, 2);
    EXPECT_EQ(json["error"]["kind"], "invalid_input");
    EXPECT_EQ(json["error"]["exit_code"], 2);
    EXPECT_EQ("penstock: " + json["error"]["message"].get<std::string>() + "\n", answer.err);
}

TEST(Program, TellsUnsupportedFromInvalid) {
    const auto answer = penstock_with({"run", demo, "--transport", "mpi", "--json"});

    EXPECT_EQ(answer.code, 3);
    EXPECT_EQ(nlohmann::json::parse(answer.out)["error"]["kind"], "unsupported");
}

TEST(Run, LetsTheFirstRankOfAnMpiJobSpeakForAll) {
    const std::vector<std::string> words{"run", "/no/such/file.json"};

    ::setenv("OMPI_COMM_WORLD_RANK", "1", 1);
    const auto second = penstock_with(words);
    ::setenv("OMPI_COMM_WORLD_RANK", "0", 1);
    const auto first = penstock_with(words);
    ::unsetenv("OMPI_COMM_WORLD_RANK");

    EXPECT_EQ(second.code, 0) << "or mpirun would end the first before it says why";
    EXPECT_THAT(second.err, IsEmpty());
    EXPECT_EQ(first.code, 2);
    EXPECT_THAT(first.err, HasSubstr("no such file"));
}

TEST(Validate, AcceptsTheJobs) {
    for (const auto* name : {"validate", "check", "lint"}) {
        const auto answer = penstock_with({name, demo});

        EXPECT_EQ(answer.code, 0) << answer.err;
        EXPECT_EQ(answer.out, demo + ": ok: 3 stages, 2 channels, 5 processes\n");
    }
}

TEST(Validate, AnswersAsJson) {
    const auto json = nlohmann::json::parse(penstock_with({"validate", fan_out, "--json"}).out);

    EXPECT_EQ(json["valid"], true);
    EXPECT_EQ(json["pipeline"], "fan-out");
    EXPECT_EQ(json["processes"], 5);
}

TEST(Graph, DrawsForTerminalsAndForGraphviz) {
    EXPECT_THAT(penstock_with({"graph", fan_out}).out, HasSubstr("<-- producer, broadcast"));
    EXPECT_THAT(penstock_with({"draw", fan_out, "--format", "dot"}).out, StartsWith("digraph \"fan-out\""));
}

TEST(PlanCommand, AppliesSettings) {
    const auto answer =
        penstock_with({"plan", demo, "--json", "--set", "processor.instances=3", "--set", "producer.batch_size=5"});

    const auto json = nlohmann::json::parse(answer.out);
    EXPECT_EQ(json["processes"], 6);
    EXPECT_EQ(json["stages"][0]["params"]["batch_size"], 5);
}

TEST(Operators, AreListed) {
    EXPECT_THAT(penstock_with({"operators"}).out, AllOf(HasSubstr("records"), HasSubstr("csv_sink")));

    const auto json = nlohmann::json::parse(penstock_with({"operators", "--json"}).out);
    EXPECT_GE(json.size(), 3U);
}

TEST(Operators, ShowTheirParameters) {
    EXPECT_THAT(penstock_with({"operators", "records"}).out,
                AllOf(StartsWith("records: source, "), HasSubstr("batch_size"), HasSubstr("BATCH_SIZE")));

    const auto json = nlohmann::json::parse(penstock_with({"operators", "records", "--json"}).out);
    EXPECT_EQ(json["kind"], "source");
    EXPECT_FALSE(json["params"].empty());
}

TEST(Operators, FillTheirPageOfTheDocumentation) {
    if (Registry::with_builtins().find("telemetry_collector") == nullptr) {
        GTEST_SKIP() << "the page has the operators that need HDF5, which this build has not";
    }
    std::ifstream file{PENSTOCK_SOURCE_DIR "/docs/operators.md"};
    std::stringstream page;
    page << file.rdbuf();

    EXPECT_EQ(penstock_with({"operators", "--markdown"}).out, page.str())
        << "to mend it: penstock operators --markdown > docs/operators.md";
    EXPECT_EQ(penstock_with({"operators", "--markdown", "--json"}).code, 2);
}

TEST(Transports, AreListed) {
    EXPECT_THAT(penstock_with({"transports"}).out,
                AllOf(HasSubstr("shm"), HasSubstr("ucx"), HasSubstr("ofi"), HasSubstr("mpi")));

    const auto json = nlohmann::json::parse(penstock_with({"transports", "--json"}).out);
    EXPECT_EQ(json[0]["name"], "shm");
    EXPECT_EQ(json[0]["built"], true);
}

TEST(Schema, IsPrintedAsItIs) {
    const auto answer = penstock_with({"schema"});

    EXPECT_EQ(answer.out, pipeline_schema());
    EXPECT_EQ(nlohmann::json::parse(answer.out)["title"], "Penstock pipeline");
}

class Shell : public testing::TestWithParam<const char*> {};

TEST_P(Shell, CompletesCommandsOptionsWordsAndOperators) {
    const auto answer = penstock_with({"completion", GetParam()});

    EXPECT_EQ(answer.code, 0);
    for (const auto* part : {"validate", "lint", "stall-timeout", "adaptive", "csv_sink", ".json"}) {
        EXPECT_THAT(answer.out, HasSubstr(part));
    }
    EXPECT_THAT(answer.out, Not(HasSubstr("{adaptive")));
}

INSTANTIATE_TEST_SUITE_P(Completion, Shell, testing::Values("bash", "zsh", "fish"));

}  // namespace
}  // namespace penstock::cli
