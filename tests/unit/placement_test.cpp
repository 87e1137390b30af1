#include "plan/placement.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <penstock/error.hpp>

#include "plan/describe.hpp"
#include "unit/error_of.hpp"
#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using Rooms = std::vector<std::uint32_t>;

struct Part {
    std::string name;
    int instances = 1;
    StagePlacement placement = {};
};

/// Stages in a row, with these placements.
Plan plan_of(const std::vector<Part>& parts) {
    PipelineBuilder builder{"placed"};
    for (std::size_t i = 0; i < parts.size(); ++i) {
        auto each = stage(parts[i].name,
                          i == 0                  ? "any_source"
                          : i + 1 == parts.size() ? "eat"
                                                  : "pass",
                          parts[i].instances);
        each.placement = parts[i].placement;
        builder.stage(each);
        if (i > 0) builder.channel(channel(parts[i - 1].name, parts[i].name));
    }
    return make_plan(builder.build(), sample_registry());
}

/// The nodes of the instances of a stage.
Rooms nodes_of(const Plan& plan, const Rooms& nodes, const std::string& name) {
    const auto stage = std::ranges::find(plan.stages, name, &PlannedStage::name);
    const auto first = nodes.begin() + stage->first_rank;
    return {first, first + stage->instances};
}

Rooms placed(const std::vector<Part>& parts, const Rooms& rooms, const std::string& name) {
    const Plan plan = plan_of(parts);
    return nodes_of(plan, place_ranks(plan, rooms), name);
}

TEST(Placement, SpreadsAStageEvenlyAndOnTheNodesWithTheLeastLoadFirst) {
    const Rooms rooms(3, unlimited_room);

    // The coordinator is on the first one.
    EXPECT_THAT(placed({{"in"}, {"work", 4, StagePlacement::spread()}, {"out"}}, rooms, "work"),
                ElementsAre(1, 2, 0, 1));
}

TEST(Placement, PacksAStageOnOneNodeWhereItHasRoom) {
    EXPECT_THAT(placed({{"in"}, {"work", 3, StagePlacement::pack()}, {"out"}}, {4, 4, 4}, "work"),
                ElementsAre(1, 1, 1));
    EXPECT_THAT(placed({{"in"}, {"work", 5, StagePlacement::pack()}, {"out"}}, {4, 2, 4}, "work"),
                ElementsAre(2, 2, 2, 2, 0));
}

TEST(Placement, PutsAStageBesideAnother) {
    const std::vector<Part> parts{{"in", 2, StagePlacement::spread()},
                                  {"work", 5, StagePlacement::with("in")},
                                  {"out", 1, StagePlacement::with("work")}};
    const Plan plan = plan_of(parts);
    const Rooms nodes = place_ranks(plan, Rooms(2, unlimited_room));

    EXPECT_THAT(nodes_of(plan, nodes, "in"), ElementsAre(1, 0));
    EXPECT_THAT(nodes_of(plan, nodes, "work"), ElementsAre(1, 0, 1, 0, 1));
    EXPECT_THAT(nodes_of(plan, nodes, "out"), ElementsAre(1));
}

TEST(Placement, PutsSoManyOnEachNode) {
    const std::vector<Part> parts{{"in"}, {"work", 5, StagePlacement::on_each_node(2)}, {"out"}};

    EXPECT_THAT(placed(parts, Rooms(3, unlimited_room), "work"), ElementsAre(0, 0, 1, 1, 2));
    EXPECT_THAT(placed(parts, {2, 3, 3, 3}, "work"), ElementsAre(1, 1, 2, 2, 0)) << "0 has the coordinator";
}

TEST(Placement, FillsTheNodesInTheOrderOfTheRanksWithTheRest) {
    const Plan plan = plan_of({{"in", 2}, {"work", 4}, {"out", 2, StagePlacement::spread()}});

    EXPECT_THAT(place_ranks(plan, Rooms(3, unlimited_room)), ElementsAre(0, /**/ 0, 0, /**/ 1, 1, 2, 2, /**/ 1, 2));
}

TEST(Placement, PutsFirstWhatNeedsTheMostRoom) {
    const Plan plan = plan_of({{"in", 2, StagePlacement::spread()},
                               {"work", 6, StagePlacement::with("in")},
                               {"out", 3, StagePlacement::pack()}});
    const Rooms nodes = place_ranks(plan, Rooms(3, 4));

    EXPECT_THAT(nodes_of(plan, nodes, "in"), ElementsAre(1, 2));
    EXPECT_THAT(nodes_of(plan, nodes, "out"), ElementsAre(0, 0, 0));
}

TEST(PlacementErrors, SayHowManyNodesAStageTakes) {
    const Plan plan = plan_of({{"in"}, {"work", 9, StagePlacement::on_each_node(2)}, {"out"}});
    const auto error = error_of([&] { static_cast<void>(place_ranks(plan, Rooms(4, unlimited_room))); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_STREQ(error.what(),
                 "invalid input: stage \"work\" has 9 instances and is to have 2 per node, for which it takes 5 nodes, "
                 "not 4; use more nodes, or raise \"per_node\"");
}

TEST(PlacementErrors, SayWhatThereIsNoRoomFor) {
    const auto refused = [](const std::vector<Part>& parts, const Rooms& rooms) {
        return std::string{error_of([&] { static_cast<void>(place_ranks(plan_of(parts), rooms)); }).what()};
    };

    EXPECT_THAT(refused({{"in"}, {"out", 3}}, {2, 2}),
                HasSubstr("pipeline \"placed\" has 5 ranks, and 2 nodes with room for 4 in all; use more nodes"));
    EXPECT_THAT(refused({{"in"}, {"out", 3, StagePlacement::with("in")}}, {3, 3}),
                HasSubstr("no node has room for instance 0 of stage \"in\" and what goes with it, 4 ranks; use more"));
    EXPECT_THAT(refused({{"in"}, {"out", 4, StagePlacement::on_each_node(4)}}, {3, 3}),
                HasSubstr("no node has room for instance 0 of stage \"out\", placed \"4 per node\", and what"));
}

// --- what holds for every pipeline ---

std::size_t fewest(Rooms free, std::uint32_t instances) {
    std::ranges::sort(free, std::greater{});
    std::size_t count = 0;
    for (std::uint64_t room = 0; room < instances; ++count) room += free[count];
    return count;
}

class AnyPipeline : public testing::TestWithParam<unsigned> {
protected:
    unsigned any(unsigned least, unsigned most) { return std::uniform_int_distribution{least, most}(random); }

    StagePlacement any_placement(const std::vector<Part>& before) {
        switch (any(0, 4)) {
            case 0: return {};
            case 1: return StagePlacement::spread();
            case 2: return StagePlacement::pack();
            case 3: return StagePlacement::on_each_node(static_cast<int>(any(1, 4)));
            default:
                if (before.empty()) return {};
                return StagePlacement::with(before[any(0, static_cast<unsigned>(before.size()) - 1)].name);
        }
    }

    std::vector<Part> any_parts() {
        std::vector<Part> parts;
        for (unsigned i = 0, count = any(2, 6); i < count; ++i) {
            parts.push_back({"s" + std::to_string(i), static_cast<int>(any(1, 9)), any_placement(parts)});
        }
        return parts;
    }

    std::mt19937 random{GetParam()};
};

void expect_as_asked(const Plan& plan, const Rooms& nodes, std::size_t node_count) {
    for (const PlannedStage& stage : plan.stages) {
        const Rooms own = nodes_of(plan, nodes, stage.name);
        std::map<std::uint32_t, int> counts;
        for (const auto node : own) ++counts[node];
        int least = stage.instances;
        int most = 0;
        for (const auto& entry : counts) {
            least = std::min(least, entry.second);
            most = std::max(most, entry.second);
        }
        switch (stage.placement.rule) {
            case PlacementRule::by_rank: break;
            case PlacementRule::spread:
                EXPECT_EQ(counts.size(), std::min(node_count, own.size()));
                EXPECT_LE(most - least, 1);
                break;
            case PlacementRule::pack: EXPECT_EQ(counts.size(), 1U); break;
            case PlacementRule::per_node: {
                const auto limit = static_cast<std::size_t>(stage.placement.per_node);
                EXPECT_LE(most, stage.placement.per_node);
                EXPECT_EQ(counts.size(), (own.size() + limit - 1) / limit);
                break;
            }
            case PlacementRule::with: {
                const Rooms others = nodes_of(plan, nodes, stage.placement.stage);
                for (std::size_t i = 0; i < own.size(); ++i) EXPECT_EQ(own[i], others[i % others.size()]);
            }
        }
    }
}

std::vector<std::string> named(const Rooms& nodes) {
    std::vector<std::string> names;
    for (const auto node : nodes) names.push_back("n" + std::to_string(node));
    return names;
}

TEST_P(AnyPipeline, IsPlacedAsItAsksOnNodesThatTakeAll) {
    for (int round = 0; round < 200; ++round) {
        const Plan plan = plan_of(any_parts());
        const Rooms rooms(any(9, 12), unlimited_room);
        const Rooms nodes = place_ranks(plan, rooms);

        ASSERT_EQ(nodes.size(), plan.ranks());
        EXPECT_EQ(nodes[0], 0U);
        expect_as_asked(plan, nodes, rooms.size());
        EXPECT_EQ(place_ranks(plan, rooms), nodes);
        if (HasFailure()) FAIL() << describe(plan, nodes);
    }
}

TEST_P(AnyPipeline, KeepsToTheRoomThereIs) {
    int fitting = 0;
    for (int round = 0; round < 300; ++round) {
        const Plan plan = plan_of(any_parts());
        Rooms rooms(any(1, 8));
        for (auto& room : rooms) room = any(0, 12);
        Rooms loads(rooms.size(), 0);
        Rooms nodes;
        try {
            nodes = place_ranks(plan, rooms);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), Errc::invalid_input);
            continue;
        }
        ++fitting;
        ASSERT_EQ(nodes.size(), plan.ranks());
        for (const auto node : nodes) {
            ASSERT_LT(node, rooms.size());
            ++loads[node];
        }
        for (std::size_t node = 0; node < rooms.size(); ++node) EXPECT_LE(loads[node], rooms[node]);
        for (const PlannedStage& stage : plan.stages) {
            const Rooms own = nodes_of(plan, nodes, stage.name);
            if (stage.placement.rule == PlacementRule::with) {
                const Rooms others = nodes_of(plan, nodes, stage.placement.stage);
                for (std::size_t i = 0; i < own.size(); ++i) EXPECT_EQ(own[i], others[i % others.size()]);
            }
        }
    }
    EXPECT_GT(fitting, 20);
}

TEST_P(AnyPipeline, WithoutStagesThatGoTogetherFitsWhereverItsRanksDo) {
    for (int round = 0; round < 300; ++round) {
        const auto instances = static_cast<int>(any(1, 20));
        const StagePlacement placement = any(0, 1) == 0 ? StagePlacement::spread() : StagePlacement::pack();
        const Plan plan = plan_of({{"in", static_cast<int>(any(1, 5))}, {"out", instances, placement}});
        Rooms rooms(any(1, 6), 0);
        rooms[0] = 1;
        for (std::uint32_t left = plan.ranks() - 1 + any(0, 3); left > 0; --left) {
            ++rooms[any(0, static_cast<unsigned>(rooms.size()) - 1)];
        }
        const Rooms nodes = place_ranks(plan, rooms);
        if (placement.rule != PlacementRule::pack) continue;
        --rooms[0];  // the coordinator comes first, the others after this stage
        const Rooms own = nodes_of(plan, nodes, "out");
        EXPECT_EQ((std::set<std::uint32_t>{own.begin(), own.end()}).size(),
                  fewest(rooms, static_cast<std::uint32_t>(instances)));
    }
}

TEST_P(AnyPipeline, IsNotFoundMisplacedWhereItIsAsItAsks) {
    for (int round = 0; round < 200; ++round) {
        const Plan plan = plan_of(any_parts());
        const Rooms nodes = place_ranks(plan, Rooms(any(9, 12), unlimited_room));
        const auto names = named(nodes);
        const std::size_t used = std::set<std::string>{names.begin(), names.end()}.size();
        for (const std::string& problem : misplaced_stages(plan, names)) {
            ADD_FAILURE() << problem << "\n" << used << " nodes\n" << describe(plan, nodes);
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Placement, AnyPipeline, testing::Range(1U, 6U));

// --- what came of it ---

std::vector<std::string> found(const std::vector<Part>& parts, const std::vector<std::string>& nodes) {
    return misplaced_stages(plan_of(parts), nodes);
}

TEST(MisplacedStages, AreNamedWithTheirNodes) {
    EXPECT_THAT(found({{"in"}, {"work", 3, StagePlacement::spread()}, {"out"}}, {"n1", "n1", "n1", "n1", "n2", "n2"}),
                IsEmpty());
    EXPECT_THAT(found({{"in"}, {"work", 3, StagePlacement::spread()}, {"out"}}, {"n1", "n1", "n1", "n1", "n1", "n2"}),
                ElementsAre("stage \"work\" is to be placed \"spread\", but has 3 on n1"));
    EXPECT_THAT(found({{"in"}, {"work", 2, StagePlacement::pack()}}, {"n1", "n1", "n1", "n2"}),
                ElementsAre("stage \"work\" is to be placed \"pack\", but has 1 on n1, 1 on n2"));
    EXPECT_THAT(found({{"in"}, {"work", 3, StagePlacement::pack()}}, {"n1", "n1", "n2", "n2", "n3"}), IsEmpty())
        << "no node has room for three";
}

TEST(MisplacedStages, AreThoseWithTooManyOnANode) {
    const std::vector<Part> parts{{"in"}, {"work", 4, StagePlacement::on_each_node(2)}};
    EXPECT_THAT(found(parts, {"a", "a", "a", "a", "b", "b"}), IsEmpty());
    EXPECT_THAT(found(parts, {"a", "a", "a", "a", "a", "b"}),
                ElementsAre("stage \"work\" is to be placed \"2 per node\", but has 3 on a, 1 on b"));
}

TEST(MisplacedStages, AreThoseThatAreNotBesideTheOther) {
    const std::vector<Part> parts{{"in", 2}, {"work", 4, StagePlacement::with("in")}};
    EXPECT_THAT(found(parts, {"a", "a", "b", "a", "b", "a", "b"}), IsEmpty());
    EXPECT_THAT(found(parts, {"a", "a", "b", "a", "a", "a", "a"}),
                ElementsAre("stage \"work\" is to be placed \"with in\", but has instance 1 on a and in.1 on b, and 1 "
                            "other apart"));
}

TEST(Description, ShowsTheNodesOfTheInstances) {
    const Plan plan = plan_of({{"in", 2, StagePlacement::spread()}, {"out", 20, StagePlacement::with("in")}});
    const Rooms nodes = place_ranks(plan, Rooms(3, unlimited_room));

    EXPECT_THAT(describe(plan), AllOf(HasSubstr("device  placement\n"), HasSubstr("cpu     with in\n")));
    EXPECT_THAT(describe(plan, nodes),
                AllOf(HasSubstr("0     coordinator                                1\n"),
                      HasSubstr("2     in           1         any_source  cpu     3     spread\n"),
                      HasSubstr("3-22  out          0-19      eat         cpu     2-3   with in\n")));
    const auto json = nlohmann::json::parse(plan_json(plan, nodes));
    EXPECT_EQ(json["ranks"][0]["node"], 1);
    EXPECT_EQ(json["ranks"][2]["node"], 3);
    EXPECT_EQ(json["stages"][0]["placement"], "spread");
    EXPECT_EQ(json["stages"][1]["placement"], (nlohmann::json{{"with", "in"}}));
}

}  // namespace
}  // namespace penstock
