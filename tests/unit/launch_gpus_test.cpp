#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "support/scratch_folder.hpp"
#include "unit/penstock_with.hpp"

namespace penstock::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string program = "/bin/true";

/// What `penstock launch` answers for a stage with four instances on GPUs, and these words.
[[nodiscard]] Answer launch(const std::vector<std::string>& more, const std::string& placement = "") {
    const test::ScratchFolder folder;
    const std::string file = folder.write("kernels.json", R"({"stages": [
        {"name": "in", "operator": "vector"},
        {"name": "scale", "operator": "of_mine", "instances": 4, "device": "gpu")" +
                                                              placement + R"(},
        {"name": "out", "operator": "null"}],
        "channels": [{"from": "in", "to": "scale"}, {"from": "scale", "to": "out"}]})");
    std::vector<std::string> words{"launch", file, "--print", "--program", program};
    words.insert(words.end(), more.begin(), more.end());
    return penstock_with(words);
}

TEST(LaunchGpus, AsksForOneForEachInstanceThatMayBeOnANode) {
    EXPECT_THAT(launch({}).out, HasSubstr("#SBATCH --gpus-per-node=4\n")) << "Slurm may put all of them on one";
    EXPECT_THAT(launch({"--nodes", "1"}).out, HasSubstr("#SBATCH --gpus-per-node=4\n"));
    EXPECT_THAT(launch({"--ntasks-per-node", "3"}).out, HasSubstr("#SBATCH --gpus-per-node=3\n"));
    EXPECT_THAT(launch({"--nodes", "2"}, R"(, "placement": "spread")").out, HasSubstr("#SBATCH --gpus-per-node=2\n"));
    EXPECT_THAT(launch({"--nodes", "4"}, R"(, "placement": {"per_node": 1})").out,
                HasSubstr("#SBATCH --gpus-per-node=1\n"));
}

TEST(LaunchGpus, LeavesToTheUserWhatTheUserSays) {
    for (const char* own : {"gpus=4", "-G 4", "gpus-per-task=1", "gres=gpu:a100:4", "gpus-per-node=8"}) {
        EXPECT_THAT(launch({"--sbatch", own}).out, Not(HasSubstr("--gpus-per-node=4"))) << own;
    }
    EXPECT_THAT(launch({"--sbatch", "gres=lustre:1"}).out, HasSubstr("--gpus-per-node=4"));
}

TEST(LaunchGpus, SaysHowManyBeforeThereIsAJob) {
    EXPECT_THAT(launch({"--dry-run", "--nodes", "2"}, R"(, "placement": "spread")").out,
                HasSubstr("\n2 GPUs on each node, one for each instance for GPUs that may be there\n"));
}

TEST(LaunchOwnProgram, RunsItInPlaceOfPenstockWithThePipelineAsItsLastWord) {
    const auto answer = launch({"--transport", "mpi", "--bind=core"});

    EXPECT_EQ(answer.code, 0) << answer.err;
    EXPECT_THAT(answer.out, AllOf(HasSubstr("\nprogram=/bin/true\n"),
                                  HasSubstr("    \"$program\" --runs-dir \"$runs_dir\" --transport=mpi --bind=core /"),
                                  HasSubstr("/kernels.json\n")));
    EXPECT_THAT(answer.out, HasSubstr("own=$(\"$penstock\" status "));
}

TEST(LaunchOwnProgram, DoesNotGetWhatItWouldNotRead) {
    const auto answer = launch({"--set", "scale.instances=2"});

    EXPECT_EQ(answer.code, 2);
    EXPECT_THAT(answer.err, HasSubstr("--set is read by `penstock run`, and not by a --program of your own"));
}

TEST(LaunchOwnProgram, MustBeThere) {
    const std::string demo = PENSTOCK_SOURCE_DIR "/jobs/streaming-demo.json";
    for (const char* none : {"/no/such/program", "/etc/passwd", "/tmp"}) {
        const auto answer = penstock_with({"launch", demo, "--print", "--program", none});
        EXPECT_EQ(answer.code, 2) << none;
        EXPECT_THAT(answer.err, HasSubstr("is no program that can be started")) << none;
    }
}

TEST(LaunchOwnProgram, MayHaveOperatorsThatPenstockDoesNotKnowAndNoOtherPipelineMay) {
    const test::ScratchFolder folder;
    const std::string file =
        folder.write("p.json", R"({"stages": [{"name": "in", "operator": "of_mine"}], "channels": []})");

    EXPECT_THAT(penstock_with({"launch", file, "--print"}).err, HasSubstr("unknown operator \"of_mine\""));
}

}  // namespace
}  // namespace penstock::cli
