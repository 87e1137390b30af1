#include "launch/run_record.hpp"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/peer_place.hpp"
#include "launch/run_directory.hpp"
#include "support/scratch_folder.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <class Call>
[[nodiscard]] std::string refusal_of(Call&& call) {
    return error_of(std::forward<Call>(call)).what();
}

class RunRecordTest : public ::testing::Test {
protected:
    /// A run directory of that name with these files.
    std::string make(const std::string& name, const std::string& status,
                     const ProcessIdentity& coordinator = ProcessIdentity::here()) const {
        const fs::path path = runs / name;
        fs::create_directory(path);
        const nlohmann::json about{{"pipeline", "line"},
                                   {"host", coordinator.host},
                                   {"world", coordinator.world},
                                   {"pid", coordinator.pid},
                                   {"process_started", coordinator.started}};
        const RunDirectory directory{path.string()};
        directory.replace("plan.json", "{}");
        directory.replace("run.json", about.dump());
        if (!status.empty()) directory.replace("status.json", status);
        return path.string();
    }

    /// A process that is no more.
    [[nodiscard]] static ProcessIdentity gone() {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        waitpid(child, nullptr, 0);
        ProcessIdentity identity = ProcessIdentity::here();
        identity.pid = child;
        return identity;
    }

    test::ScratchFolder folder;
    const fs::path runs = folder.path();
};

TEST(ProcessIdentityTest, KnowsThatThisProcessLivesAndThatAnotherOfItsNumberIsNotTheSame) {
    ProcessIdentity self = ProcessIdentity::here();
    EXPECT_TRUE(self.is_in_reach());
    EXPECT_TRUE(self.is_alive());
    self.started += 1;
    EXPECT_FALSE(self.is_alive());
    self.world = "elsewhere";
    EXPECT_FALSE(self.is_in_reach());
}

TEST(ProcessIdentityTest, TakesAZombieForDead) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
    ProcessIdentity identity = ProcessIdentity::here();
    identity.pid = child;
    EXPECT_FALSE(identity.is_alive());
    waitpid(child, nullptr, 0);
}

TEST_F(RunRecordTest, TellsWhatTheRunSays) {
    const auto path = make("a", R"({"state": "failed", "exit_code": 6, "error": "why", "elapsed_s": 1.5})");
    const RunRecord run = read_run(path);
    EXPECT_EQ(run.state, "failed");
    EXPECT_EQ(run.exit_code, 6);
    EXPECT_EQ(run.error, "why");
    EXPECT_EQ(run.elapsed_s, 1.5);
    EXPECT_EQ(run.pipeline, "line");
    EXPECT_EQ(run.name(), "a");
    EXPECT_TRUE(run.is_over());
}

TEST_F(RunRecordTest, IsLostWhenTheCoordinatorIsGoneWithoutAWord) {
    EXPECT_EQ(read_run(make("running", R"({"state": "running"})", gone())).state, "lost");
    EXPECT_EQ(read_run(make("starting", "", gone())).state, "lost");
    EXPECT_EQ(read_run(make("done", R"({"state": "completed"})", gone())).state, "completed");
    EXPECT_EQ(read_run(make("here", R"({"state": "stopping"})")).state, "stopping");
    EXPECT_EQ(read_run(make("new", "")).state, "starting");
}

TEST_F(RunRecordTest, IsUnknownWhenNothingCanBeRead) {
    for (const char* text : {"", "{", "[]", "null", "\xff\xfe", "{\"state\": 3"}) {
        const auto path = make("broken", text);
        fs::remove(fs::path{path} / "run.json");
        EXPECT_EQ(read_run(path).state, "unknown") << text;
    }
    // Values of other kinds are as good as none.
    const RunRecord odd = read_run(make("odd", R"({"state": "completed", "exit_code": "x", "error": 1})"));
    EXPECT_EQ(odd.state, "completed");
    EXPECT_EQ(odd.exit_code, 1);
    EXPECT_EQ(read_run((runs / "none").string()).state, "unknown");
}

TEST_F(RunRecordTest, IsFoundByItsPathItsNameOrTheBeginningOfOnlyOne) {
    const auto first = make("demo-1", "{}");
    const auto second = make("demo-22", "{}");
    make("other", "{}");
    fs::create_directory(runs / "no-run");
    fs::last_write_time(fs::path{second} / "plan.json", fs::file_time_type::clock::now() + std::chrono::hours{1});

    EXPECT_EQ(find_run(runs.string(), ""), second);
    EXPECT_EQ(find_run(runs.string(), "demo-1"), first);
    EXPECT_EQ(find_run(runs.string(), "demo-2"), second);
    EXPECT_EQ(find_run("/no/such/folder", first), first);
    EXPECT_EQ(find_run("/no/such/folder", first + "/"), first);
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_run(runs.string(), "demo")); }), HasSubstr("2 runs"));
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_run(runs.string(), "no-run")); }), HasSubstr("the newest are"));
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_run("/no/such/folder", "x")); }), HasSubstr("--runs-dir"));
    EXPECT_THAT(list_runs("/no/such/folder"), IsEmpty());
    EXPECT_EQ(list_runs(runs.string()).size(), 3U);
}

TEST_F(RunRecordTest, IsFoundByTheJobOfSlurmThatItIs) {
    const std::string older = make("demo-1", R"({"state": "completed", "exit_code": 3})");
    RunDirectory{older}.replace("run.json", R"({"pipeline": "demo", "slurm_job_id": "4711", "slurm_restart": 1})");
    make("demo-2", R"({"state": "completed"})");

    EXPECT_EQ(find_run(runs.string(), "4711"), older);
    EXPECT_EQ(find_run_of_job(runs.string(), "4712"), "");
    EXPECT_EQ(read_run(older).slurm_job, "4711");
    EXPECT_EQ(read_run(older).slurm_restart, 1);
    EXPECT_EQ(read_run(older).end_code(), 3);
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_run(runs.string(), "4712")); }), HasSubstr("no run \"4712\""));
}

TEST_F(RunRecordTest, OfAnotherPipelineWhoseNameBeginsWithTheIdIsNotThatOfTheJob) {
    make("47-of-another-pipeline", R"({"state": "completed"})");
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_run(runs.string(), "47")); }), HasSubstr("no run \"47\""));

    const std::string of_job = make("demo", R"({"state": "failed", "exit_code": 3})");
    RunDirectory{of_job}.replace("run.json", R"({"slurm_job_id": "47"})");
    EXPECT_EQ(find_run(runs.string(), "47"), of_job);
    EXPECT_EQ(find_run(runs.string(), "47-"), (runs / "47-of-another-pipeline").string());
}

TEST_F(RunRecordTest, HasACodeThatAProcessCanHaveWhateverTheFileSays) {
    for (const char* code :
         {"1e300", "-1", "256", "4294967296", "18446744073709551615", "2.5", "\"0\"", "null", "{}"}) {
        const auto path =
            make("absurd", std::string{R"({"state": "completed", "elapsed_s": 1, "exit_code": )"} + code + "}");
        EXPECT_EQ(read_run(path).end_code(), 1) << code;
    }
    EXPECT_EQ(read_run(make("silent", R"({"state": "failed"})")).end_code(), 1);
    EXPECT_EQ(read_run(make("wrong", R"({"state": "cancelled", "exit_code": 0})")).end_code(), 1);
    EXPECT_EQ(read_run(make("right", R"({"state": "cancelled", "exit_code": 143})")).end_code(), 143);
    EXPECT_EQ(read_run(make("well", R"({"state": "completed"})")).end_code(), 0);
}

TEST_F(RunRecordTest, KnowsItsPhaseAndTheRunsOfThoseBefore) {
    const RunDirectory directory{make("of-a-phase", R"({"state": "completed"})")};
    EXPECT_EQ(read_run(directory.path()).phase_words(), "");

    const Plan plan{.pipeline = "line",
                    .stages = {},
                    .channels = {},
                    .phase = PhaseInfo{.name = "b", .number = 2, .of = 3, .runs = {{"a", "/runs/a"}}}};
    directory.write_start(plan, "somebody");
    const auto run = read_run(directory.path());
    EXPECT_EQ(run.phase_words(), "phase b (2 of 3)");
    ASSERT_EQ(run.phase.earlier.size(), 1U);
    EXPECT_EQ(run.phase.earlier[0], std::make_pair(std::string{"a"}, std::string{"/runs/a"}));

    directory.replace("run.json", R"({"pipeline": "line", "phase": {"name": 3, "runs": ["x"]}})");
    EXPECT_EQ(read_run(directory.path()).phase_words(), "");
    directory.replace("run.json", R"({"pipeline": "line", "phase": "b"})");
    EXPECT_EQ(read_run(directory.path()).phase_words(), "");
}

TEST_F(RunRecordTest, EndsAsAProcessThatIsGoneWhenItIsLost) {
    EXPECT_EQ(read_run(make("demo", R"({"state": "running"})", gone())).end_code(), 6);
}

TEST_F(RunRecordTest, TellsWhereAnInstanceIs) {
    const std::string path = make("demo", "");
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_peer(path, "a", 0)); }), HasSubstr("has not written yet"));
    fs::create_directory(path + "/peers");
    RunDirectory{path}.replace("peers/a.1.json", R"({"stage_peers": [
        {"index": 0, "rank": 1, "node": "n1", "instance_id": "n1:10"},
        {"index": 1, "rank": 2, "node": "n2.cluster", "instance_id": "n2.cluster:11", "private_ip": "10.0.0.2"}]})");

    const PeerPlace place = find_peer(path, "a", 1);
    EXPECT_EQ(place.host, "n2.cluster");
    EXPECT_EQ(place.address, "10.0.0.2");
    EXPECT_EQ(place.pid, 11);
    EXPECT_EQ(place.rank, 2U);
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_peer(path, "a", 2)); }), HasSubstr("did you mean \"a.1\""));
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_peer(path, "../peers/a", 1)); }), HasSubstr("no instance"));
    for (const char* broken : {"", "[]", "{}", R"({"stage_peers": [1, {}]})", R"({"stage_peers": [{"index": "1"}]})"}) {
        RunDirectory{path}.replace("peers/a.1.json", broken);
        EXPECT_THAT(refusal_of([&] { static_cast<void>(find_peer(path, "a", 1)); }), HasSubstr("does not say where"));
    }
    fs::remove(path + "/peers/a.1.json");
    ASSERT_EQ(mkfifo((path + "/peers/a.1.json").c_str(), 0600), 0);
    EXPECT_THAT(refusal_of([&] { static_cast<void>(find_peer(path, "a", 1)); }), HasSubstr("does not say where"));
}

TEST_F(RunRecordTest, PassesOnWhatIsAskedOfIt) {
    const auto path = make("a", "{}");
    EXPECT_EQ(requested_stop(path), StopRequest::none);
    request_stop(path, StopRequest::drain);
    EXPECT_EQ(requested_stop(path), StopRequest::drain);
    request_stop(path, StopRequest::abort);
    EXPECT_EQ(requested_stop(path), StopRequest::abort);
    RunDirectory{path}.replace("request", "nonsense");
    EXPECT_EQ(requested_stop(path), StopRequest::none);
}

}  // namespace
}  // namespace penstock
