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

/// What `penstock launch` answers for records -> work (of 4) -> out, with these keys of "work" and these words.
[[nodiscard]] Answer launch(const std::string& keys, const std::vector<std::string>& more = {},
                            const std::string& command = "--print") {
    const test::ScratchFolder folder;
    const std::string file = folder.write("kinds.json", R"({"stages": [
        {"name": "in", "operator": "vector"},
        {"name": "work", "operator": "of_mine", "instances": 4, )" +
                                                            keys + R"(},
        {"name": "out", "operator": "null"}],
        "channels": [{"from": "in", "to": "work"}, {"from": "work", "to": "out"}]})");
    std::vector<std::string> words{"launch", file, command, "--program", "/bin/true"};
    words.insert(words.end(), more.begin(), more.end());
    return penstock_with(words);
}

TEST(LaunchKinds, MakeAJobOfTwoParts) {
    const auto answer = launch(R"("placement": {"constraint": "gpu"})");

    EXPECT_EQ(answer.code, 0) << answer.err;
    EXPECT_THAT(answer.out, AllOf(HasSubstr("#SBATCH --ntasks=3\n"),
                                  HasSubstr("#SBATCH hetjob\n#SBATCH --ntasks=4\n#SBATCH --constraint=gpu\n#"),
                                  HasSubstr("--het-group=0"), HasSubstr("\n    : --het-group=1"),
                                  HasSubstr("--ntasks=4 \"${rank[@]}\"\n")));
}

TEST(LaunchKinds, GoWithoutMpiUnlessItIsAskedFor) {
    const std::string placement = R"("placement": {"partition": "p"})";

    EXPECT_THAT(launch(placement).out, AllOf(HasSubstr("--mpi=none"), HasSubstr(" --launch=tcp ")));
    EXPECT_THAT(launch(placement, {"--launch", "mpi"}).out,
                AllOf(HasSubstr("--mpi=pmix"), HasSubstr(" --launch=mpi "), Not(HasSubstr("tcp"))));
}

TEST(LaunchKinds, AskForNodesAndGpusOfEachPart) {
    const std::string placement = R"("device": "gpu", "threads": 3, "placement": {"constraint": "gpu", "per_node": 2})";
    const auto answer = launch(placement, {"--nodes", "1"});

    EXPECT_THAT(answer.out, HasSubstr("#SBATCH hetjob\n#SBATCH --ntasks=4\n#SBATCH --cpus-per-task=3\n"
                                      "#SBATCH --constraint=gpu\n#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=2\n"
                                      "#SBATCH --gpus-per-node=2\n"));
    EXPECT_THAT(answer.out, HasSubstr("--distribution=block --ntasks-per-node=2 \"${rank[@]}\""));
    EXPECT_THAT(answer.out, Not(HasSubstr("--ntasks=3 --cpus-per-task")));
    EXPECT_THAT(launch(R"("device": "gpu", "placement": {"constraint": "gpu"})").out,
                HasSubstr("#SBATCH --gpus-per-node=4\n"));
}

TEST(LaunchKinds, GiveEachPartWhatIsMeantForAllNodesAndTheFirstTheRest) {
    const auto answer =
        launch(R"("device": "gpu", "placement": {"constraint": "gpu"})",
               {"-p", "main", "-C", "cpu", "-A", "me", "-t", "10", "-o", "out", "--sbatch", "gpus=4", "--exclusive"});
    const auto second = answer.out.substr(answer.out.find("#SBATCH hetjob"));
    const auto first = answer.out.substr(0, answer.out.find("#SBATCH hetjob"));

    EXPECT_THAT(first, AllOf(HasSubstr("--partition=main"), HasSubstr("--constraint=cpu"), HasSubstr("--account=me"),
                             HasSubstr("--output=out"), Not(HasSubstr("gpus"))));
    EXPECT_THAT(second, AllOf(HasSubstr("--partition=main"), HasSubstr("--constraint=gpu"), HasSubstr("--account=me"),
                              HasSubstr("--time=10"), HasSubstr("#SBATCH --exclusive\n"), HasSubstr("--gpus=4"),
                              Not(HasSubstr("--output")), Not(HasSubstr("gpus-per-node"))));
}

TEST(LaunchKinds, OfAllStagesAloneMakeAJobOfOnePart) {
    const test::ScratchFolder folder;
    const std::string file = folder.write("p.json", R"({"stages": [
        {"name": "in", "operator": "vector", "placement": {"constraint": "big"}},
        {"name": "out", "operator": "null", "placement": {"constraint": "big"}}],
        "channels": [{"from": "in", "to": "out"}]})");
    const auto answer = penstock_with({"launch", file, "--print", "-C", "small"});

    EXPECT_THAT(answer.out, AllOf(HasSubstr("#SBATCH --constraint=big\n"), Not(HasSubstr("hetjob")),
                                  Not(HasSubstr("small")), HasSubstr("--mpi=pmix")));
}

TEST(LaunchKinds, ThatSayMoreThanAJobOfPartsCanAreRefused) {
    const auto spread = launch(R"("placement": {"rule": "spread", "constraint": "gpu"})", {"--nodes", "2"});
    EXPECT_EQ(spread.code, 3);
    EXPECT_THAT(spread.err, HasSubstr("stage 'work' is to be placed \"spread, constraint gpu\""));

    const auto local = launch(R"("placement": {"constraint": "gpu"})", {"--launch", "local"});
    EXPECT_EQ(local.code, 2);
    EXPECT_THAT(local.err, HasSubstr("--launch local is for one node"));
}

TEST(LaunchKinds, AreExplained) {
    EXPECT_THAT(launch(R"("device": "gpu", "placement": {"constraint": "gpu", "per_node": 2})", {}, "--dry-run").out,
                HasSubstr("2 parts of a heterogeneous job:\n  0: ranks 0 to 2 on nodes: any\n"
                          "  1: ranks 3 to 6 on nodes: constraint gpu, --nodes=2, --ntasks-per-node=2, "
                          "--gpus-per-node=2\n"));
}

}  // namespace
}  // namespace penstock::cli
