#include "launch/gpus.hpp"

#include <filesystem>
#include <fstream>
#include <map>

#include <gmock/gmock.h>

#include <penstock/error.hpp>

#include "support/scratch_folder.hpp"
#include "unit/error_of.hpp"
#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Optional;

using Variables = std::map<std::string, std::string>;

/// A machine made of a folder and words.
class FakeMachine {
public:
    void add(const std::string& path, const std::string& content = "") const {
        const std::filesystem::path file{root_.path() + path};
        std::filesystem::create_directories(file.parent_path());
        std::ofstream{file} << content;
    }
    [[nodiscard]] VisibleGpus gpus(Variables variables = {}) const {
        return find_gpus(
            {.root = root_.path(), .variable = [variables](const char* name) -> std::optional<std::string> {
                 const auto found = variables.find(name);
                 return found == variables.end() ? std::nullopt : std::optional{found->second};
             }});
    }

private:
    test::ScratchFolder root_;
};

/// With two NVIDIA GPUs.
void add_nvidia(const FakeMachine& machine) {
    for (const char* name : {"nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps1", "tty0"}) {
        machine.add(std::string{"/dev/"} + name);
    }
}

/// With two AMD GPUs; the driver lists the processor as well.
void add_amd(const FakeMachine& machine) {
    machine.add("/sys/class/kfd/kfd/topology/nodes/0/gpu_id", "0\n");
    machine.add("/sys/class/kfd/kfd/topology/nodes/1/gpu_id", "51234\n");
    machine.add("/sys/class/kfd/kfd/topology/nodes/2/gpu_id", "4321\n");
}

TEST(FindGpus, FindsNoneWhereThereAreNone) {
    const VisibleGpus gpus = FakeMachine{}.gpus();

    EXPECT_EQ(gpus.vendor, GpuVendor::none);
    EXPECT_THAT(gpus.names, IsEmpty());
}

TEST(FindGpus, CountsTheDeviceFilesOfNvidia) {
    const FakeMachine machine;
    add_nvidia(machine);

    EXPECT_EQ(machine.gpus().vendor, GpuVendor::nvidia);
    EXPECT_THAT(machine.gpus().names, ElementsAre("0", "1"));
    EXPECT_EQ(machine.gpus().from, "/dev/nvidia*");
}

TEST(FindGpus, AsksTheDriverWhereThereAreNoDeviceFiles) {
    const FakeMachine machine;
    machine.add("/proc/driver/nvidia/gpus/0000:65:00.0/information");

    EXPECT_THAT(machine.gpus().names, ElementsAre("0"));
}

TEST(FindGpus, CountsThoseOfAmdWithoutTheProcessors) {
    const FakeMachine machine;
    add_amd(machine);

    EXPECT_EQ(machine.gpus().vendor, GpuVendor::amd);
    EXPECT_THAT(machine.gpus().names, ElementsAre("0", "1"));
}

TEST(FindGpus, TakesThoseOfTheVariableBeforeThoseOfTheMachine) {
    const FakeMachine machine;
    add_nvidia(machine);

    EXPECT_THAT(machine.gpus({{"CUDA_VISIBLE_DEVICES", "1"}}).names, ElementsAre("1"));
    EXPECT_THAT(machine.gpus({{"CUDA_VISIBLE_DEVICES", "GPU-8932f937, MIG-1"}}).names,
                ElementsAre("GPU-8932f937", "MIG-1"));
    EXPECT_EQ(machine.gpus({{"CUDA_VISIBLE_DEVICES", "1"}}).from, "CUDA_VISIBLE_DEVICES=1");
    EXPECT_THAT(machine.gpus({{"ROCR_VISIBLE_DEVICES", "5"}}).names, ElementsAre("0", "1"))
        << "that is of another maker";
}

TEST(FindGpus, ReadsAListUpToWhatIsNoDevice) {
    const FakeMachine machine;
    add_nvidia(machine);
    for (const char* none : {"", "-1", "NoDevFiles", "-1,0", ",0"}) {
        EXPECT_THAT(machine.gpus({{"CUDA_VISIBLE_DEVICES", none}}).names, IsEmpty()) << none;
    }
    EXPECT_THAT(machine.gpus({{"CUDA_VISIBLE_DEVICES", "3,-1,0"}}).names, ElementsAre("3"));
}

TEST(FindGpus, KnowsWhoseVariablesCountWhereSlurmSetsThoseOfAllMakers) {
    const Variables all{{"CUDA_VISIBLE_DEVICES", "0,1"}, {"ROCR_VISIBLE_DEVICES", "2,3"}};
    const FakeMachine none;
    const FakeMachine amd;
    add_amd(amd);

    EXPECT_EQ(none.gpus(all).vendor, GpuVendor::nvidia);
    EXPECT_THAT(amd.gpus(all).names, ElementsAre("2", "3"));
    EXPECT_EQ(none.gpus({{"HIP_VISIBLE_DEVICES", "4"}}).vendor, GpuVendor::amd);
    EXPECT_EQ(none.gpus({{"HIP_VISIBLE_DEVICES", "4"}}).from, "HIP_VISIBLE_DEVICES=4");
}

TEST(FindGpus, KnowsWhoseTheyAreWhereSlurmGivesThemToTasks) {
    const FakeMachine machine;

    EXPECT_EQ(machine.gpus({{"CUDA_VISIBLE_DEVICES", "0"}, {"SLURM_PROCID", "4"}}).task, "");
    EXPECT_EQ(machine.gpus({{"CUDA_VISIBLE_DEVICES", "0"}, {"SLURM_PROCID", "4"}, {"SLURM_GPUS_PER_TASK", "1"}}).task,
              "4");
}

TEST(GpuOffer, IsDecodedAsItWasEncoded) {
    const GpuOffer mine{.host = "node \"7\"",
                        .gpus = {.vendor = GpuVendor::amd, .names = {"0", "GPU-1"}, .from = "X=0", .task = "3"}};
    const GpuOffer again = GpuOffer::decode(mine.encode());

    EXPECT_EQ(again.host, mine.host);
    EXPECT_EQ(again.gpus.vendor, GpuVendor::amd);
    EXPECT_EQ(again.gpus.names, mine.gpus.names);
    EXPECT_EQ(again.gpus.from, "X=0");
    EXPECT_EQ(again.gpus.task, "3");
    for (const char* text : {"", "[]", "{}", "[\"host\",1,\"0\",\"\",\"\"]"}) {
        EXPECT_EQ(error_of([&] { static_cast<void>(GpuOffer::decode(text)); }).code(), Errc::internal) << text;
    }
}

/// Ranks 0 (the coordinator), 1 "in", 2 to 4 "first" and 5 "second" for GPUs, 6 "out".
[[nodiscard]] Plan sample_plan() {
    StageSpec first = stage("first", "kernel", 3);
    StageSpec second = stage("second", "kernel");
    first.device = Device::gpu;
    second.device = Device::gpu;
    return make_plan(PipelineBuilder{"sample"}
                         .stage(stage("in", "any_source"))
                         .stage(first)
                         .stage(second)
                         .stage(stage("out", "eat"))
                         .channel(channel("in", "first"))
                         .channel(channel("first", "second"))
                         .channel(channel("second", "out"))
                         .build(),
                     sample_registry());
}

/// Offers of all ranks, on these hosts, which see these GPUs.
[[nodiscard]] std::vector<GpuOffer> offers_on(const std::vector<std::string>& hosts,
                                              const std::map<std::string, std::vector<std::string>>& names) {
    std::vector<GpuOffer> offers;
    for (const std::string& host : hosts) {
        offers.push_back({.host = host, .gpus = {.vendor = GpuVendor::nvidia, .names = names.at(host), .from = "X"}});
    }
    return offers;
}

TEST(ShareGpus, GivesEachInstanceOneOfItsNode) {
    const auto mine = share_gpus(
        sample_plan(), offers_on({"a", "a", "a", "a", "b", "b", "b"}, {{"a", {"2", "5", "6"}}, {"b", {"0", "1"}}}));

    EXPECT_THAT(mine, ElementsAre("", "", "2", "5", "0", "1", ""));
}

TEST(ShareGpus, SaysWhichNodeHasTooFewAndForWhichStages) {
    const auto offers = offers_on({"a", "a", "b", "a", "b", "b", "b"}, {{"a", {"0"}}, {"b", {"0", "1"}}});
    const Error error = error_of([&] { static_cast<void>(share_gpus(sample_plan(), offers)); });

    EXPECT_EQ(error.code(), Errc::exhausted);
    EXPECT_THAT(error.what(),
                HasSubstr("on node b, stages \"first\" (2 instances), \"second\" (1 instance) need 3 GPUs, one "
                          "for each instance, and this run has 2 GPUs (X) there"));
}

TEST(ShareGpus, SaysThatThereAreNone) {
    const std::vector<GpuOffer> offers(7, {.host = "a", .gpus = {}});

    EXPECT_THAT(error_of([&] { static_cast<void>(share_gpus(sample_plan(), offers)); }).what(),
                HasSubstr("need 4 GPUs, one for each instance, and this run has 0 GPUs there"));
}

TEST(ShareGpus, GivesNoGpuTwiceWhereProcessesSeeDifferentOnes) {
    auto offers = offers_on(std::vector<std::string>(7, "a"), {{"a", {"0", "1"}}});
    offers[4].gpus.names = {"1", "2"};
    offers[5].gpus.names = {"0", "1", "3"};

    EXPECT_THAT(share_gpus(sample_plan(), offers), ElementsAre("", "", "0", "1", "2", "3", ""));
}

TEST(ShareGpus, LeavesEachTheOneThatSlurmHasGivenIt) {
    auto offers = offers_on(std::vector<std::string>(7, "a"), {{"a", {"0"}}});
    for (std::size_t rank = 0; rank < offers.size(); ++rank) offers[rank].gpus.task = std::to_string(rank);

    EXPECT_THAT(share_gpus(sample_plan(), offers), ElementsAre("", "", "0", "0", "0", "0", ""));
}

TEST(ShareGpus, GivesThoseOfATaskToTheProcessesThatItHasStarted) {
    auto offers = offers_on(std::vector<std::string>(7, "a"), {{"a", {"0", "1", "2", "3"}}});
    for (GpuOffer& offer : offers) offer.gpus.task = "0";

    EXPECT_THAT(share_gpus(sample_plan(), offers), ElementsAre("", "", "0", "1", "2", "3", ""));
}

using Settings = std::map<std::string, std::optional<std::string>>;

[[nodiscard]] Settings settings_of(GpuVendor vendor, const std::string& from, const std::string& mine) {
    Settings settings;
    for (const auto& [name, value] : gpu_environment({.vendor = vendor, .from = from}, mine)) settings[name] = value;
    return settings;
}

TEST(GpuEnvironment, ShowsOneOrNone) {
    EXPECT_THAT(settings_of(GpuVendor::nvidia, "/dev/nvidia*", "3").at("CUDA_VISIBLE_DEVICES"),
                Optional(std::string{"3"}));
    const Settings none = settings_of(GpuVendor::nvidia, "", "");
    for (const char* name : {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"}) {
        EXPECT_THAT(none.at(name), Optional(std::string{"-1"})) << name;
    }
}

TEST(GpuEnvironment, LetsHipCountAmongThoseThatRocrLetsThrough) {
    const Settings by_rocr = settings_of(GpuVendor::amd, "ROCR_VISIBLE_DEVICES=2,3", "3");
    EXPECT_EQ(by_rocr.at("ROCR_VISIBLE_DEVICES"), "3");
    EXPECT_EQ(by_rocr.at("HIP_VISIBLE_DEVICES"), "0");
    EXPECT_EQ(by_rocr.at("CUDA_VISIBLE_DEVICES"), std::nullopt) << "HIP would take it for its own";

    const Settings by_hip = settings_of(GpuVendor::amd, "HIP_VISIBLE_DEVICES=2,3", "3");
    EXPECT_EQ(by_hip.at("HIP_VISIBLE_DEVICES"), "3");
    EXPECT_EQ(by_hip.at("ROCR_VISIBLE_DEVICES"), std::nullopt);
}

}  // namespace
}  // namespace penstock
