#include "launch/run_directory.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "base/quote.hpp"
#include "runtime/paths.hpp"
#include "unit/error_of.hpp"
#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::UnorderedElementsAre;

[[nodiscard]] std::string contents(const fs::path& path) {
    std::ifstream file{path};
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

[[nodiscard]] unsigned mode_of(const fs::path& path) {
    struct stat status {};
    EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777U;
}

class RunDirectoryTest : public ::testing::Test {
protected:
    RunDirectoryTest() {
        std::string name = (fs::temp_directory_path() / "penstock-runs-XXXXXX").string();
        base = mkdtemp(name.data());
    }
    ~RunDirectoryTest() override { fs::remove_all(base); }

    [[nodiscard]] std::vector<std::string> files_below(const fs::path& folder) const {
        std::vector<std::string> names;
        for (const auto& entry : fs::recursive_directory_iterator{folder}) {
            if (entry.is_regular_file()) names.push_back(fs::relative(entry.path(), folder).string());
        }
        return names;
    }

    fs::path base;
};

TEST_F(RunDirectoryTest, IsMadeForItsOwnerAlone) {
    const mode_t before = umask(0);
    const auto directory = RunDirectory::create((base / "runs").string(), "demo");
    directory.replace("status.json", "{}");
    umask(before);

    EXPECT_EQ(mode_of(directory.path()), 0700U);
    for (const char* folder : {"peers", "logs", "results"})
        EXPECT_EQ(mode_of(fs::path{directory.path()} / folder), 0700U);
    EXPECT_EQ(mode_of(directory.path() + "/status.json"), 0600U);
}

TEST_F(RunDirectoryTest, IsNamedAfterThePipelineAndTheTime) {
    std::set<std::string> names;
    for (int i = 0; i < 20; ++i) {
        const fs::path path{RunDirectory::create(base.string(), "demo").path()};
        EXPECT_EQ(path.parent_path(), base);
        EXPECT_THAT(path.filename().string(), MatchesRegex("demo-[0-9]+-[0-9]+-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]"));
        names.insert(path.string());
    }
    EXPECT_EQ(names.size(), 20U);
}

TEST_F(RunDirectoryTest, HasAnAbsolutePathEvenForARelativeBase) {
    const fs::path before = fs::current_path();
    fs::current_path(base);
    const auto directory = RunDirectory::create("./a/../runs", "demo");
    fs::current_path(before);

    EXPECT_EQ(fs::path{directory.path()}.parent_path(), fs::canonical(base) / "runs");
    EXPECT_EQ(directory.results(), directory.path() + "/results");
    EXPECT_EQ(directory.log_of("producer.0"), directory.path() + "/logs/producer.0.jsonl");
}

TEST_F(RunDirectoryTest, SaysWhereItCouldNotBeMade) {
    std::ofstream{base / "file"} << "in the way";

    const Error error =
        error_of([&] { static_cast<void>(RunDirectory::create((base / "file" / "runs").string(), "demo")); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("'" + (base / "file" / "runs").string() + "'"));
    EXPECT_THAT(error.what(), HasSubstr("--runs-dir"));
}

TEST_F(RunDirectoryTest, ReplacesFilesAsAWhole) {
    const auto directory = RunDirectory::create(base.string(), "demo");
    const std::array<std::string, 2> texts{std::string(100'000, 'a'), std::string(50'000, 'b')};
    directory.replace("status.json", texts[0]);
    std::jthread writer{[&](const std::stop_token& stop) {
        for (std::size_t i = 1; !stop.stop_requested(); ++i) directory.replace("status.json", texts[i % 2]);
    }};

    for (int i = 0; i < 500; ++i) {
        const std::string seen = contents(directory.path() + "/status.json");
        ASSERT_TRUE(seen == texts[0] || seen == texts[1]) << "a part of " << seen.size() << " bytes";
    }
    writer.request_stop();
    writer.join();
    EXPECT_THAT(files_below(directory.path()), ElementsAre("status.json"));
}

TEST_F(RunDirectoryTest, FollowsNoLinkAndWaitsForNoPipeInTheWayOfItsFile) {
    const auto directory = RunDirectory::create(base.string(), "demo");
    const fs::path precious = base / "precious";
    std::ofstream{precious} << "mine";
    const std::string beside = directory.path() + "/request." + std::to_string(getpid()) + ".new";

    fs::create_symlink(precious, beside);
    directory.replace("request", "drain");
    ASSERT_EQ(mkfifo(beside.c_str(), 0600), 0);
    directory.replace("request", "abort");

    EXPECT_EQ(contents(precious), "mine");
    EXPECT_EQ(contents(directory.path() + "/request"), "abort");
}

TEST_F(RunDirectoryTest, LeavesNothingBehindOfAFileThatCannotBeReplaced) {
    const auto directory = RunDirectory::create(base.string(), "demo");
    EXPECT_EQ(error_of([&] { directory.replace("results", "text"); }).code(), Errc::invalid_input);
    EXPECT_TRUE(files_below(directory.path()).empty());
}

TEST_F(RunDirectoryTest, ReportsAFileThatCannotBeWritten) {
    const RunDirectory gone{(base / "gone").string()};

    const Error error = error_of([&] { gone.replace("status.json", "{}"); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("status.json"));
}

/// Two producers, a worker and a writer; the producers feed both.
[[nodiscard]] Plan sample_plan() {
    return make_plan(PipelineBuilder{"demo"}
                         .stage(stage("producer", "any_source", 2))
                         .stage(stage("worker", "pass"))
                         .stage(stage("writer", "eat"))
                         .channel(channel("producer", "worker"))
                         .channel(channel("worker", "writer"))
                         .channel(channel("producer", "writer"))
                         .build(),
                     sample_registry());
}

class PeerFilesTest : public RunDirectoryTest {
protected:
    PeerFilesTest() {
        std::vector<HostInfo> hosts;
        for (int rank = 0; rank < 5; ++rank) {
            hosts.push_back({"node" + std::to_string(rank), "10.0.0." + std::to_string(rank), 100 + rank});
        }
        directory.write_peers(sample_plan(), hosts, {"none", "shm", "shm", "mpi", "shm"});
    }
    [[nodiscard]] json peers_of(const std::string& instance) const {
        return json::parse(contents(directory.path() + "/peers/" + instance + ".json"));
    }

    RunDirectory directory = RunDirectory::create(base.string(), "demo");
};

TEST_F(PeerFilesTest, StandThereForEveryInstance) {
    EXPECT_THAT(files_below(directory.path() + "/peers"),
                UnorderedElementsAre("producer.0.json", "producer.1.json", "worker.0.json", "writer.0.json"));
    EXPECT_EQ(mode_of(directory.path() + "/peers/worker.0.json"), 0600U);
}

TEST_F(PeerFilesTest, DescribeAPeerAsSpawnDoesWithRankNodeAndTransport) {
    const json expected{{"stage_id", "producer"},
                        {"stage_index", 0},
                        {"instance_id", "node2:102"},
                        {"private_ip", "10.0.0.2"},
                        {"dns_name", "producer-1.demo.node2"},
                        {"state", "running"},
                        {"index", 1},
                        {"rank", 2},
                        {"node", "node2"},
                        {"transport", "shm"}};

    EXPECT_EQ(peers_of("producer.0").at("stage_peers").at(1), expected);
}

TEST_F(PeerFilesTest, HaveTheKeysOfSpawn) {
    const json peers = peers_of("producer.1");

    std::vector<std::string> keys;
    for (const auto& item : peers.items()) keys.push_back(item.key());
    EXPECT_THAT(keys, UnorderedElementsAre("pipeline_id", "stage_id", "stage_index", "instance_index", "stage_peers",
                                           "upstream_stages", "downstream_stages", "all_stages"));
    EXPECT_EQ(peers["pipeline_id"], "demo");
    EXPECT_EQ(peers["stage_id"], "producer");
    EXPECT_EQ(peers["stage_index"], 0);
    EXPECT_EQ(peers["instance_index"], 1);
    EXPECT_EQ(peers["stage_peers"].size(), 2U) << "itself included";
    EXPECT_EQ(peers["all_stages"].size(), 3U);
}

TEST_F(PeerFilesTest, TellWhoIsUpstreamAndWhoIsDownstream) {
    const auto stages = [](const json& object) {
        std::vector<std::string> names;
        for (const auto& item : object.items()) names.push_back(item.key());
        return names;
    };

    EXPECT_TRUE(peers_of("producer.0")["upstream_stages"].is_object());
    EXPECT_THAT(stages(peers_of("producer.0")["upstream_stages"]), ElementsAre());
    EXPECT_THAT(stages(peers_of("producer.0")["downstream_stages"]), UnorderedElementsAre("worker", "writer"));
    EXPECT_THAT(stages(peers_of("writer.0")["upstream_stages"]), UnorderedElementsAre("producer", "worker"));
    EXPECT_THAT(stages(peers_of("writer.0")["downstream_stages"]), ElementsAre());
    const json upstream = peers_of("worker.0")["upstream_stages"]["producer"];
    ASSERT_EQ(upstream.size(), 2U);
    EXPECT_EQ(upstream[0]["index"], 0) << "sorted by index";
    EXPECT_EQ(upstream[1]["index"], 1);
    EXPECT_EQ(upstream[1]["rank"], 2);
}

TEST(HostInfo, IsDecodedAsItWasEncoded) {
    const HostInfo here = HostInfo::here();
    const HostInfo again = HostInfo::decode(here.encode());

    EXPECT_EQ(again.host, here.host);
    EXPECT_EQ(again.address, here.address);
    EXPECT_EQ(again.pid, getpid());
    EXPECT_THAT(here.address, MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST(HostInfo, RefusesABrokenDescription) {
    for (const char* text : {"", "host", "[]", "[\"host\",\"address\",\"many\",\"\",\"\"]", "{\"host\": 1}"}) {
        EXPECT_EQ(error_of([&] { static_cast<void>(HostInfo::decode(text)); }).code(), Errc::internal) << text;
    }
}

TEST(ResultPath, LiesBelowTheResultsUnlessItIsAbsolute) {
    EXPECT_EQ(result_path_in("/run/results", "a.csv", -1), "/run/results/a.csv");
    EXPECT_EQ(result_path_in("/run/results", "sub/a.csv", -1), "/run/results/sub/a.csv");
    EXPECT_EQ(result_path_in("/run/results", "/tmp/a.csv", -1), "/tmp/a.csv");
}

TEST(ResultPath, GetsTheInstanceBeforeItsSuffix) {
    EXPECT_EQ(result_path_in("/r", "a.csv", 0), "/r/a.0.csv");
    EXPECT_EQ(result_path_in("/r", "a.tar.gz", 12), "/r/a.tar.12.gz");
    EXPECT_EQ(result_path_in("/r", "plain", 3), "/r/plain.3");
    EXPECT_EQ(result_path_in("/r", "/tmp/a.csv", 3), "/tmp/a.3.csv");
    EXPECT_EQ(result_path_in("/r", ".hidden", 3), "/r/.hidden.3");
}

TEST(ResultPath, RefusesWhatIsNoFileNameOrClimbsOut) {
    using namespace std::string_view_literals;
    for (const std::string_view name : {""sv, "."sv, ".."sv, "folder/"sv, "/"sv, "../a.csv"sv, "sub/../../a.csv"sv,
                                        "/tmp/../etc/a"sv, "sub/.."sv, "sub/."sv, "a\0b"sv}) {
        const Error error = error_of([&] { static_cast<void>(result_path_in("/r", name, -1)); });
        EXPECT_EQ(error.code(), Errc::invalid_input) << name;
        EXPECT_THAT(error.what(), HasSubstr("'" + printable(name) + "'"));
    }
    EXPECT_EQ(result_path_in("/r", "a..b.csv", -1), "/r/a..b.csv");
}

}  // namespace
}  // namespace penstock
