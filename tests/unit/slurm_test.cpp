#include "launch/slurm.hpp"

#include <cstdlib>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "launch/child_command.hpp"
#include "launch/slurm_chain.hpp"
#include "launch/slurm_script.hpp"
#include "support/scratch_folder.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

template <class Call>
[[nodiscard]] std::string refusal_of(Call&& call) {
    return error_of(std::forward<Call>(call)).what();
}

[[nodiscard]] SlurmJob demo() {
    return {.name = "demo",
            .tasks = 5,
            .directory = "/home/me",
            .program = "/opt/penstock/bin/penstock",
            .runs_dir = "/scratch/runs",
            .run_words = {"/home/me/demo.json", "--set=producer.total_batches=10"}};
}

/// Lets programs of this name be found that do what the script says.
class FakePrograms {
public:
    FakePrograms() : old_path_{std::getenv("PATH")} { setenv("PATH", (folder_.path() + ":" + old_path_).c_str(), 1); }
    ~FakePrograms() { setenv("PATH", old_path_.c_str(), 1); }
    FakePrograms(const FakePrograms&) = delete;
    FakePrograms& operator=(const FakePrograms&) = delete;

    [[nodiscard]] std::string path(const std::string& name) const { return folder_.path(name); }
    void write(const std::string& name, const std::string& text) const { folder_.write(name, text); }
    void add(const std::string& name, const std::string& script) {
        const std::string path = folder_.path(name);
        std::ofstream{path} << "#!/bin/sh\n" << script << '\n';
        chmod(path.c_str(), 0700);
    }

private:
    test::ScratchFolder folder_;
    std::string old_path_;
};

/// What bash says of a text that is printed by a script.
[[nodiscard]] std::string bash(const std::string& script) {
    return answer_of({"bash", "-c", script}, {}, 10s).out;
}

TEST(SbatchScript, AsksForATaskForEachRankAndStartsThemAll) {
    const std::string script = sbatch_script(demo());

    EXPECT_TRUE(script.starts_with("#!/bin/bash\n#SBATCH --job-name=demo\n#SBATCH --ntasks=5\n"));
    EXPECT_THAT(script, AllOf(HasSubstr("#SBATCH --chdir=/home/me\n"), HasSubstr("#SBATCH --signal=USR1@60\n"),
                              HasSubstr("srun --mpi=pmix --kill-on-bad-exit=0 --ntasks=5 "),
                              HasSubstr("\npenstock=/opt/penstock/bin/penstock\nruns_dir=/scratch/runs\n"),
                              HasSubstr(" run --runs-dir \"$runs_dir\" /home/me/demo.json "
                                        "--set=producer.total_batches=10\n")));
    EXPECT_THAT(script, Not(HasSubstr("cpus-per-task")));
}

TEST(SbatchScript, GivesThreadsTheirCoresInTheJobAndInItsStep) {
    SlurmJob job = demo();
    job.cpus_per_task = 4;

    EXPECT_THAT(sbatch_script(job),
                AllOf(HasSubstr("#SBATCH --cpus-per-task=4\n"), HasSubstr("--ntasks=5 --cpus-per-task=4")));
}

TEST(SbatchScript, WarnsNobodyWithoutDrainTimeAndNeedsNoMpiForProcessesOfItsOwn) {
    SlurmJob job = demo();
    job.drain_time = 0s;
    job.mpi = "";

    EXPECT_THAT(sbatch_script(job), AllOf(Not(HasSubstr("--signal")), Not(HasSubstr("--mpi"))));
}

TEST(SbatchScript, HasOptionsAfterItsOwn) {
    SlurmJob job = demo();
    job.options = {{"partition", "gpu"}, {"exclusive", ""}, {"C", "a&b"}, {"job-name", "two words"}};

    EXPECT_THAT(sbatch_script(job), HasSubstr("#SBATCH --partition=gpu\n#SBATCH --exclusive\n#SBATCH -C \"a&b\"\n"
                                              "#SBATCH \"--job-name=two words\"\n"));
}

TEST(SbatchScript, IsShellWhateverTheTextsAre) {
    const std::string nasty = "a 'b' \"c\" $(touch x) `y` \\ ; & | * ~ # !";
    SlurmJob job = demo();
    job.program = nasty;
    job.runs_dir = nasty;
    job.run_words = {nasty, "", "--set=a.b=[1, 2]"};
    const std::string script = sbatch_script(job);

    EXPECT_EQ(answer_of({"bash", "-n"}, script, 10s).err, "");
    const std::string shown = "srun() { shift 3; printf '<%s>\\n' \"$@\"; }; say() { :; }; ";
    const auto from = script.find("\npenstock=");
    const std::string start = script.substr(from, script.find("code=") - from);
    EXPECT_EQ(bash(shown + start),
              "<" + nasty + ">\n<run>\n<--runs-dir>\n<" + nasty + ">\n<" + nasty + ">\n<>\n<--set=a.b=[1, 2]>\n");
}

TEST(SbatchScript, EscapesWhatStandsOnALineOfOptions) {
    SlurmJob job = demo();
    job.name = "a\"b\\c # d";

    EXPECT_THAT(sbatch_script(job), HasSubstr("#SBATCH \"--job-name=a\\\"b\\\\c # d\"\n"));
}

TEST(SbatchScript, RefusesTextThatWouldLeaveItsLine) {
    SlurmJob job = demo();
    job.name = "a\n#SBATCH --exclusive";
    EXPECT_THAT(refusal_of([&] { static_cast<void>(sbatch_script(job)); }), HasSubstr("has a control character"));

    job.name = std::string(5000, 'x');
    EXPECT_THAT(refusal_of([&] { static_cast<void>(sbatch_script(job)); }), HasSubstr("is longer than"));
}

/// Three phases: b after a, c after a and b.
[[nodiscard]] Chain three_phases() {
    const auto phase = [](std::string name, std::uint32_t number, std::vector<std::string> after) {
        return Plan{.pipeline = "p",
                    .stages = {},
                    .channels = {},
                    .phase = PhaseInfo{.name = std::move(name), .number = number, .of = 3, .after = std::move(after)}};
    };
    return {.pipeline = "p", .phases = {phase("a", 1, {}), phase("b", 2, {"a"}), phase("c", 3, {"b"})}};
}

TEST(ChainedScript, WaitsForThePhasesBeforeAndFindsTheirRuns) {
    const Chain chain = three_phases();
    SlurmJob job = demo();
    job.options = {{"dependency", "afterany:3"}, {"partition", "cpu"}};

    EXPECT_THAT(chained_script(chain, chain.phases[0], job, {}),
                AllOf(HasSubstr("--dependency=afterany:3\n"), HasSubstr("=10 --phase a\n"), Not(HasSubstr("earlier")),
                      Not(HasSubstr("kill-on-invalid-dep"))));
    EXPECT_THAT(chained_script(chain, chain.phases[2], job, {{"a", "12"}, {"b", "13"}}),
                AllOf(HasSubstr("#SBATCH --dependency=afterok:13\n#SBATCH --kill-on-invalid-dep=yes\n"),
                      HasSubstr("earlier_1=$(\"$penstock\" status --runs-dir \"$runs_dir\" --path 12) || exit\n"
                                "earlier_2=$(\"$penstock\" status --runs-dir \"$runs_dir\" --path 13) || exit\n"),
                      HasSubstr("--phase c --earlier a=\"$earlier_1\" --earlier b=\"$earlier_2\"\n"),
                      Not(HasSubstr("afterany"))));
}

TEST(ChainedScript, LeavesTheUserTheLastWordOnWhatCanNeverStart) {
    const Chain chain = three_phases();
    SlurmJob job = demo();
    job.options = {{"kill-on-invalid-dep", "no"}};

    EXPECT_THAT(chained_script(chain, chain.phases[1], job, stand_ins(chain)),
                AllOf(HasSubstr("afterok:JOB1"), HasSubstr("invalid-dep=no"), Not(HasSubstr("invalid-dep=yes"))));
}

TEST(ChainedScript, EndsWhereARunIsNotFound) {
    FakePrograms programs;
    programs.add("penstock", "[ \"$1\" = status ] && { echo there is no run >&2; exit 2; }; echo started");
    programs.add("srun", "echo started");
    const Chain chain = three_phases();
    SlurmJob job = demo();
    job.program = programs.path("penstock");

    EXPECT_EQ(bash(chained_script(chain, chain.phases[1], job, {{"a", "12"}}) + "\necho not here\n"), "");
}

[[nodiscard]] SlurmJob placed() {
    SlurmJob job = demo();
    job.nodes = {0, 2, 1, 2, 0};
    job.node_count = 3;
    job.options = {{"nodes", "3"}, {"ntasks-per-node", "2"}};
    return job;
}

TEST(SbatchScript, AsksForRoomOnEachNodeWhereTasksArePlaced) {
    const std::string script = sbatch_script(placed());

    EXPECT_THAT(script, AllOf(Not(HasSubstr("#SBATCH --ntasks=")), HasSubstr("#SBATCH --ntasks-per-node=2\n"),
                              HasSubstr("--ntasks=5 --distribution=arbitrary \\\n")));
    EXPECT_THAT(sbatch_script(demo()), AllOf(Not(HasSubstr("arbitrary")), Not(HasSubstr("HOSTFILE"))));
}

/// What the script of a placed job prints, and says, in a job with these nodes.
[[nodiscard]] CommandAnswer placed_on(const std::string& names) {
    FakePrograms programs;
    programs.add("scontrol", "printf '%s\\n' " + names);
    programs.add("srun", "echo \"${SLURM_NTASKS_PER_NODE-unset} $SLURM_HOSTFILE\"; cat \"$SLURM_HOSTFILE\"");
    programs.add("penstock", "exit 2");
    SlurmJob job = placed();
    job.program = "penstock";
    programs.write("job.sh", sbatch_script(job));
    return answer_of({"env", "SLURM_NTASKS_PER_NODE=2", "TMPDIR=" + programs.path(""), "bash", programs.path("job.sh")},
                     {}, 20s);
}

TEST(SbatchScript, GivesSrunTheNamesOfTheNodesTaskByTaskAndLeavesNoFile) {
    const auto answer = placed_on("a1 b2 c3");

    const auto line = answer.out.find('\n');
    ASSERT_NE(line, std::string::npos) << answer.err;
    EXPECT_EQ(answer.out.substr(line), "\na1\nc3\nb2\nc3\na1\n");
    ASSERT_TRUE(answer.out.starts_with("unset /"));
    EXPECT_FALSE(std::ifstream{answer.out.substr(6, line - 6)});
    EXPECT_EQ(answer.exit_code, 0);
}

TEST(SbatchScript, EndsWhereTheJobHasAnotherNumberOfNodes) {
    const auto answer = placed_on("a1 b2");

    EXPECT_EQ(answer.exit_code, 6);
    EXPECT_EQ(answer.out, "");
    EXPECT_THAT(answer.err, HasSubstr("the pipeline is placed on 3 nodes, and this job has 2"));
}

TEST(SbatchScript, LeavesThePipelineFileTheLastWordOfAProgramOfTheUser) {
    SlurmJob job = demo();
    job.users_program = "/home/me/mine";
    job.run_words = {"--bind=core", "/home/me/demo.json"};
    job.phase = "read";
    job.earlier = {{"make", "12"}};

    EXPECT_THAT(sbatch_script(job), AllOf(HasSubstr("\nprogram=/home/me/mine\n"),
                                          HasSubstr("\"$program\" --runs-dir \"$runs_dir\" --phase read --earlier "
                                                    "make=\"$earlier_1\" --bind=core /home/me/demo.json\n")));
}

TEST(SbatchScript, StartsTheRanksOfAllPartsInOneStep) {
    SlurmJob job = demo();
    job.mpi = "none";
    job.parts = {{.tasks = 3, .options = {{"partition", "main"}}},
                 {.tasks = 2, .cpus_per_task = 4, .options = {{"constraint", "gpu"}}, .tasks_per_node = 1}};
    const std::string script = sbatch_script(job);

    EXPECT_THAT(script, HasSubstr("#SBATCH --ntasks=3\n#SBATCH --chdir=/home/me\n#SBATCH --signal=USR1@60\n#SBATCH "
                                  "--partition=main\n#SBATCH hetjob\n#SBATCH --ntasks=2\n#SBATCH --cpus-per-task=4\n"
                                  "#SBATCH --constraint=gpu\n# Made by"));
    const std::string shown = "srun() { printf '<%s>' \"$@\"; }; say() { :; }; ";
    const auto from = script.find("\npenstock=");
    EXPECT_EQ(
        bash(shown + script.substr(from, script.find("code=") - from)),
        "<--het-group=0><--mpi=none><--kill-on-bad-exit=0><--ntasks=3></opt/penstock/bin/penstock><run><--runs-dir>"
        "</scratch/runs></home/me/demo.json><--set=producer.total_batches=10><:><--het-group=1><--mpi=none>"
        "<--kill-on-bad-exit=0><--ntasks=2><--cpus-per-task=4><--distribution=block><--ntasks-per-node=1>"
        "</opt/penstock/bin/penstock><run><--runs-dir></scratch/runs></home/me/demo.json>"
        "<--set=producer.total_batches=10>");
}

TEST(PartOfJob, IsTheOneThatHasTheNode) {
    FakePrograms programs;
    programs.add("squeue", "printf '0|n[1-2]|\\n1|n13|\\n'");
    programs.add("scontrol", "if [ \"$3\" = n13 ]; then echo n13; else printf 'n1\\nn2\\n'; fi");

    EXPECT_EQ(part_of_job("5", "n2"), 0);
    EXPECT_EQ(part_of_job("5", "n13"), 1);
    EXPECT_EQ(part_of_job("5", "n3"), std::nullopt);
    programs.add("squeue", "echo 'N/A|n[1-2]|'");
    EXPECT_EQ(part_of_job("5", "n2"), std::nullopt);
}

/// What the script ends with when srun and penstock answer like this.
[[nodiscard]] int end_of_script(const std::string& srun, const std::string& penstock) {
    FakePrograms programs;
    programs.add("srun", srun);
    programs.add("penstock", penstock);
    SlurmJob job = demo();
    job.program = "penstock";
    setenv("SLURM_JOB_ID", "12", 1);
    programs.write("job.sh", sbatch_script(job));
    const int code = answer_of({"bash", programs.path("job.sh")}, {}, 20s).exit_code;
    unsetenv("SLURM_JOB_ID");
    return code;
}

TEST(SbatchScript, EndsAsTheRunDoesByItsDirectoryElseAsSrun) {
    EXPECT_EQ(end_of_script("exit 0", "echo 0"), 0);
    EXPECT_EQ(end_of_script("exit 0", "echo 6"), 6);
    EXPECT_EQ(end_of_script("exit 137", "echo 6"), 6);
    EXPECT_EQ(end_of_script("exit 2", "exit 2"), 2);
    EXPECT_EQ(end_of_script("exit 127", "exit 2"), 127);
}

TEST(SbatchScript, AsksOnlyForTheRunOfThisAttempt) {
    const std::string now = bash("date +%s");
    const std::string penstock = "while [ $# -gt 1 ] && [ \"$1\" != --since ]; do shift; done; [ \"$2\" -ge " +
                                 now.substr(0, now.find('\n')) + " ] && echo 6";
    EXPECT_EQ(end_of_script("exit 0", penstock), 6);
}

TEST(SbatchScript, OutlivesASignalForAsLongAsTheRunDrains) {
    EXPECT_EQ(end_of_script("kill -TERM $PPID; exit 7", "exit 2"), 7);
}

TEST(SbatchOption, TakesTheFormsThatSbatchTakes) {
    EXPECT_THAT(sbatch_option("qos=high"), Pair("qos", "high"));
    EXPECT_THAT(sbatch_option("--constraint=a&b=c"), Pair("constraint", "a&b=c"));
    EXPECT_THAT(sbatch_option("exclusive"), Pair("exclusive", ""));
    EXPECT_THAT(sbatch_option("-C gpu"), Pair("constraint", "gpu"));
    EXPECT_THAT(sbatch_option("-Cgpu"), Pair("constraint", "gpu"));
}

TEST(SbatchOption, RefusesWhatIsNoneAndWhatTheScriptNeeds) {
    for (const char* text : {"", "-", "--", "=x", "a b=c", "x", "--=y", "a\n"})
        EXPECT_THAT(refusal_of([&] { static_cast<void>(sbatch_option(text)); }), HasSubstr("is no option of sbatch"));
    for (const char* text : {"ntasks=3", "-n 3", "--signal=USR1", "wrap=ls", "array=0-3", "-a0-3", "-W", "-h"})
        EXPECT_THAT(refusal_of([&] { static_cast<void>(sbatch_option(text)); }), HasSubstr("is penstock's own"));
}

TEST(Slurm, KnowsWhatARefusalMeans) {
    EXPECT_EQ(errc_of_sbatch("Batch job submission failed: Invalid partition name specified"), Errc::invalid_input);
    EXPECT_EQ(errc_of_sbatch("Unable to contact slurm controller (connect failure)"), Errc::disconnected);
    EXPECT_EQ(errc_of_sbatch("Socket timed out on send/recv operation"), Errc::timed_out);
    EXPECT_EQ(errc_of_sbatch("Job violates accounting/QOS policy (job submit limit)"), Errc::exhausted);
}

TEST(Slurm, ReadsAJobAndNothingElse) {
    const auto job = parse_job_state("TIMEOUT|TimeLimit|768|2|n[1-3]|\n");
    ASSERT_TRUE(job);
    EXPECT_EQ(job->state, "TIMEOUT");
    EXPECT_EQ(job->exit_code, 3);
    EXPECT_EQ(parse_job_state("FAILED|NonZeroExitCode|35328|0|n1|")->exit_code, 138);
    EXPECT_EQ(parse_job_state("FAILED|RaisedSignal:9(Killed)|9|0|n1|")->exit_code, 137);
    EXPECT_EQ(job->restarts, 2);
    EXPECT_EQ(job->nodes, "n[1-3]");
    EXPECT_TRUE(job->is_over());
    EXPECT_FALSE(parse_job_state("RUNNING|None|0|0|n1|")->is_over());
    EXPECT_TRUE(parse_job_state("PENDING|DependencyNeverSatisfied|0|0||")->can_never_start());
    EXPECT_FALSE(parse_job_state("PENDING|"));
    EXPECT_FALSE(parse_job_state(""));
}

TEST(Slurm, GivesTheIdOfTheJobAndTheWordsOfSbatch) {
    FakePrograms programs;
    programs.add("sbatch", "cat > /dev/null; echo '4711;far'");
    EXPECT_EQ(submit_job("#!/bin/sh\n"), "4711");

    programs.add("sbatch",
                 "echo 'sbatch: error: invalid partition specified: x' >&2\necho 'sbatch: error: no' >&2; exit 1");
    EXPECT_THAT(refusal_of([] { static_cast<void>(submit_job("")); }),
                HasSubstr("sbatch refuses the job: invalid partition specified: x; no; "));

    programs.add("sbatch", "echo Hello");
    EXPECT_THAT(refusal_of([] { static_cast<void>(submit_job("")); }), HasSubstr("\"Hello\""));
}

TEST(Slurm, TellsOfTheEndOfAJobOnlyWhereItBelongs) {
    FakePrograms programs;
    programs.add("scontrol", "printf 'Configuration\\nClusterId = 3\\nClusterName             = here\\nX = 1\\n'");
    programs.add("squeue", "echo 'TIMEOUT|TimeLimit|0|0|n1|'");
    EXPECT_EQ(SlurmAnswers{}.end_of({"12", "here", 0}), "has ended (TIMEOUT)");
    EXPECT_EQ(SlurmAnswers{}.end_of({"12", "there", 0}), "");
    EXPECT_EQ(SlurmAnswers{}.end_of({"", "here", 0}), "");

    programs.add("squeue", "echo 'RUNNING|None|0|1|n1|'");
    EXPECT_EQ(SlurmAnswers{}.end_of({"12", "here", 0}), "was requeued");
    EXPECT_EQ(SlurmAnswers{}.end_of({"12", "here", 1}), "");

    programs.add("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1");
    EXPECT_EQ(SlurmAnswers{}.end_of({"12", "here", 0}), "has ended");

    programs.add("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1");
    EXPECT_EQ(SlurmAnswers{}.end_of({"12", "here", 0}), "");
}

TEST(SlurmAnswers, AreKeptAWhileAndNotAskedForEachTime) {
    FakePrograms programs;
    programs.add("scontrol", "echo scontrol >> " + programs.path("asked") + "; printf '\nClusterName = here\n'");
    programs.add("squeue", "echo squeue >> " + programs.path("asked") + "; echo 'RUNNING|None|0|0|n1|'");
    SlurmAnswers answers;
    for (int i = 0; i < 10; ++i) EXPECT_EQ(answers.end_of({"12", "here", 0}), "");
    EXPECT_EQ(bash("cat " + programs.path("asked")), "scontrol\nsqueue\n");

    programs.add("squeue", "echo 'TIMEOUT|TimeLimit|0|0|n1|'");
    EXPECT_EQ(answers.end_of({"13", "here", 0}), "has ended (TIMEOUT)");
    EXPECT_EQ(answers.end_of({"13", "there", 0}), "");
    EXPECT_EQ(answers.end_of({"13", "here", 1}), "has ended (TIMEOUT)");
}

TEST(SlurmAnswers, AreNotWaitedForAgainWhereTheControllerIsSilent) {
    FakePrograms programs;
    programs.add("scontrol", "echo x >> " + programs.path("asked") + "; exit 1");
    programs.add("squeue", "echo x >> " + programs.path("asked") + "; exit 1");
    SlurmAnswers answers;
    for (const char* job : {"1", "2", "3"}) EXPECT_EQ(answers.end_of({job, "here", 0}), "");
    EXPECT_EQ(bash("cat " + programs.path("asked")), "x\n");
}

TEST(ChildCommand, HandsOverWhatItReadsAndSays) {
    const auto answer = answer_of({"sh", "-c", "tr a-z A-Z; echo oh >&2; exit 7"}, std::string(1 << 20, 'a'), 20s);

    EXPECT_EQ(answer.out, std::string(1 << 20, 'A'));
    EXPECT_EQ(answer.err, "oh\n");
    EXPECT_EQ(answer.exit_code, 7);
}

TEST(ChildCommand, IsKilledWhenItTakesTooLongAndSaysWhatIsNotThere) {
    EXPECT_THAT(refusal_of([] { static_cast<void>(answer_of({"sleep", "60"}, {}, 20ms)); }), HasSubstr("timed out"));
    EXPECT_THAT(refusal_of([] { static_cast<void>(answer_of({"no-such-program"}, {}, 1s)); }),
                HasSubstr("no program \"no-such-program\""));
    EXPECT_EQ(answer_of({"sh", "-c", "kill -9 $$"}, {}, 10s).exit_code, 137);
}

}  // namespace
}  // namespace penstock
