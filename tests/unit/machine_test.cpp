#include "base/machine.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <penstock/error.hpp>

#include "base/cores.hpp"
#include "launch/binding.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// Two NUMA nodes with four cores of two processors each: 0-7 and 8-15.
Machine two_nodes() {
    return Machine::described("numa:2 core:4 pu:2");
}

TEST(Machine, HasTheCoresOfEachNode) {
    const Machine machine = two_nodes();

    ASSERT_THAT(machine.nodes, SizeIs(2));
    EXPECT_EQ(machine.nodes[1].number, 1);
    EXPECT_THAT(machine.nodes[0].cores, SizeIs(4));
    EXPECT_THAT(machine.nodes[1].cores.front(), ElementsAre(8, 9));
}

TEST(Machine, LeavesOutWhatMayNotBeUsed) {
    const std::vector<int> usable = usable_cpus();
    const std::vector<int> one{usable.back()};
    const Machine machine = Machine::here(one);

    ASSERT_THAT(machine.nodes, SizeIs(1));
    EXPECT_THAT(machine.nodes[0].cores, ElementsAre(one));
    EXPECT_EQ(error_of([] { static_cast<void>(Machine::here({})); }).code(), Errc::failed);
}

TEST(Bindings, GiveEachInstanceCoresOfItsOwn) {
    const auto all = bindings(two_nodes(), Bind::core, {0, 1, 2, 3, 1});

    EXPECT_THAT(all[0].cpus, IsEmpty()) << "the coordinator";
    EXPECT_THAT(all[1].cpus, ElementsAre(0, 1));
    EXPECT_THAT(all[2].cpus, ElementsAre(2, 3, 4, 5));
    EXPECT_THAT(all[3].cpus, ElementsAre(8, 9, 10, 11, 12, 13)) << "not over two nodes";
    EXPECT_THAT(all[3].nodes, ElementsAre(1));
    EXPECT_THAT(all[4].cpus, ElementsAre(6, 7)) << "where there is still room";
}

TEST(Bindings, TakeCoresOfSeveralNodesWhereNoneHasEnough) {
    const auto all = bindings(two_nodes(), Bind::core, {3, 3, 2});

    EXPECT_THAT(all[2].cpus, ElementsAre(6, 7, 14, 15));
    EXPECT_THAT(all[2].nodes, ElementsAre(0, 1));
}

TEST(Bindings, AreRefusedWhereThereAreTooFewCores) {
    const Error error = error_of([] { static_cast<void>(bindings(two_nodes(), Bind::core, {0, 4, 5})); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("9 threads, but it has 8 cores"));
    EXPECT_THAT(error.what(), HasSubstr("--bind numa or none"));
}

TEST(Bindings, ShareTheNodesByTheirCores) {
    const auto nodes_of = [](const Machine& machine, const std::vector<int>& threads) {
        std::vector<std::vector<int>> nodes;
        for (const Binding& binding : bindings(machine, Bind::numa, threads)) nodes.push_back(binding.nodes);
        return nodes;
    };
    using V = std::vector<int>;

    EXPECT_THAT(nodes_of(two_nodes(), {0, 1, 1, 1, 1}), ElementsAre(V{}, V{0}, V{0}, V{1}, V{1}));
    EXPECT_THAT(nodes_of(two_nodes(), {6, 1, 1}), ElementsAre(V{0}, V{1}, V{1}));
    EXPECT_THAT(nodes_of(two_nodes(), V(40, 1)), SizeIs(40)) << "more threads than cores";
    EXPECT_THAT(bindings(two_nodes(), Bind::numa, {1})[0].cpus, SizeIs(8));
    Machine uneven = two_nodes();
    uneven.nodes[1].cores.resize(1);
    EXPECT_THAT(nodes_of(uneven, {1, 1, 1, 1, 1}), ElementsAre(V{0}, V{0}, V{0}, V{0}, V{1}));
}

TEST(Placement, BindsNobodyWhereAllMemoryIsEquallyNear) {
    const std::vector<int> cpus = usable_cpus();
    if (has_several_numa_nodes()) GTEST_SKIP() << "this machine has several NUMA nodes";
    const Placement placement =
        place_process(Bind::automatic, {{.host = "a", .cpus = cpus}, {.host = "a", .cpus = cpus, .threads = 1}}, 1);

    EXPECT_THAT(placement.binding.cpus, IsEmpty());
    EXPECT_THAT(placement.reason, HasSubstr("equally near"));
}

TEST(Placement, GivesTheProcessesOfAHostDifferentCores) {
    const std::vector<int> cpus = usable_cpus();
    std::vector<CpuOffer> offers{{.host = "a", .cpus = cpus}, {.host = "b", .cpus = cpus, .threads = 1}};
    for (std::size_t i = 0; i < cpus.size(); ++i) offers.push_back({.host = "a", .cpus = cpus, .threads = 1});
    std::set<int> given;
    const std::size_t cores = Machine::here(cpus).nodes[0].cores.size();
    if (cores < cpus.size()) GTEST_SKIP() << "this machine has several NUMA nodes, or cores with several processors";
    for (Rank rank = 2; rank < offers.size(); ++rank) {
        for (const int cpu : place_process(Bind::core, offers, rank).binding.cpus) given.insert(cpu);
    }

    EXPECT_EQ(given.size(), cpus.size());
}

}  // namespace
}  // namespace penstock
