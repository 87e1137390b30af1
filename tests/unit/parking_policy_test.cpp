#include "runtime/parking_policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Load = ParkingPolicy::Load;
using Decision = ParkingPolicy::Decision;

/// A stage with so much work, which its active instances share, as they are all busy if it is too much.
struct Stage {
    Stage(std::size_t count, double target) : instances{count}, policy{count, target} {}

    Decision look(double work) {
        const double mine = std::min(work / static_cast<double>(active()), 1.0);
        std::vector<Load> loads(instances);
        for (std::size_t i = 0; i < instances; ++i) {
            if (policy.is_parked(i)) continue;
            loads[i] = {
                .busy = mine, .busy_s = mine / 2, .payloads = static_cast<std::uint64_t>(1000 * mine * speed(i))};
        }
        return policy.look(loads);
    }
    void look_often(double work) {
        for (int i = 0; i < 2000; ++i) static_cast<void>(look(work));
    }
    [[nodiscard]] std::size_t active() const {
        std::size_t active = 0;
        for (std::size_t i = 0; i < instances; ++i) active += policy.is_parked(i) ? 0U : 1U;
        return active;
    }
    [[nodiscard]] double speed(std::size_t i) const { return speeds.empty() ? 1 : speeds[i]; }

    std::size_t instances;
    ParkingPolicy policy;
    std::vector<double> speeds = {};  // of all the same if empty
};

TEST(ParkingPolicy, LeavesAsManyAsAreBusyForTheTargetsShare) {
    for (const std::size_t instances : {1U, 2U, 8U, 64U}) {
        for (const double work : {0.0, 0.3, 1.0, 2.5, 7.0, 40.0}) {
            Stage stage{instances, 0.8};
            stage.look_often(work);
            const double mean = std::min(work / static_cast<double>(stage.active()), 1.0);
            if (stage.active() < instances) {
                EXPECT_LE(mean, 0.9) << instances << " with work " << work;
            }
            // One fewer would be too few, within the band in which nothing is changed.
            if (stage.active() > 1) {
                EXPECT_GT(work, 0.7 * static_cast<double>(stage.active() - 1));
            }
        }
    }
}

TEST(ParkingPolicy, ParksNobodyInAHurry) {
    Stage stage{8, 0.8};

    for (int i = 0; i < 3; ++i) EXPECT_THAT(stage.look(0.5).instances, IsEmpty());
    const Decision decision = stage.look(0.5);

    EXPECT_TRUE(decision.parks);
    EXPECT_THAT(decision.instances, SizeIs(4)) << "half the way to one";
    EXPECT_THAT(decision.reason, HasSubstr("8 of 8 instances were busy for 6 % of their time, and the target is 80 %"));
}

TEST(ParkingPolicy, IsNotMovedByASingleQuietMoment) {
    Stage stage{4, 0.8};
    for (int i = 0; i < 100; ++i) EXPECT_THAT(stage.look(i % 4 == 0 ? 3.2 : 0.1).instances, IsEmpty());
}

TEST(ParkingPolicy, UnparksAtOnceWhenThereIsMuchToDo) {
    Stage stage{8, 0.8};
    stage.look_often(0.5);
    ASSERT_EQ(stage.active(), 1U);

    EXPECT_FALSE(stage.look(6).parks);
    EXPECT_EQ(stage.active(), 2U) << "one that is busy all the time does not tell how much there is: twice as many";
    static_cast<void>(stage.look(6));
    static_cast<void>(stage.look(6));

    EXPECT_EQ(stage.active(), 8U);
}

TEST(ParkingPolicy, WaitsLongerAfterAStepItHadToTakeBack) {
    Stage stage{2, 0.8};
    const auto looks_until_parked = [&] {
        int looks = 1;
        while (stage.look(0.1).instances.empty()) ++looks;
        return looks;
    };

    EXPECT_EQ(looks_until_parked(), 4);
    EXPECT_THAT(stage.look(2).instances, ElementsAre(1));
    EXPECT_EQ(looks_until_parked(), 8);
    for (int i = 0; i < 20; ++i) static_cast<void>(stage.look(0.1));
    EXPECT_THAT(stage.look(2).instances, SizeIs(1)) << "after a long time it was no mistake";
    EXPECT_EQ(looks_until_parked(), 8);
}

TEST(ParkingPolicy, ParksTheSlowestAndUnparksTheFastest) {
    Stage stage{4, 0.8};
    stage.speeds = {0.5, 1, 0.25, 0.9};
    stage.look_often(3.4);
    ASSERT_EQ(stage.active(), 4U);
    EXPECT_DOUBLE_EQ(stage.policy.weight(1), 1);
    EXPECT_NEAR(stage.policy.weight(2), 0.25, 0.01);

    Decision parked;
    while (stage.active() == 4) parked = stage.look(2.0);
    EXPECT_THAT(parked.instances, ElementsAre(2));
    while (stage.active() > 1) static_cast<void>(stage.look(0.1));
    EXPECT_FALSE(stage.policy.is_parked(1));

    EXPECT_THAT(stage.look(2).instances, ElementsAre(3));
}

TEST(ParkingPolicy, WeighsInstancesByWholeCallsHoweverManyLooksTheyTake) {
    ParkingPolicy policy{2, 0};
    // The first needs three looks for a payload, the second six; the payload counts at the last.
    for (int look = 1; look <= 120; ++look) {
        static_cast<void>(policy.look({{.busy = 1, .busy_s = 0.5, .payloads = look % 3 == 0 ? 1U : 0U},
                                       {.busy = 1, .busy_s = 0.5, .payloads = look % 6 == 0 ? 1U : 0U}}));
    }

    EXPECT_NEAR(policy.weight(0), 1, 0.01);
    EXPECT_NEAR(policy.weight(1), 0.5, 0.1);
}

TEST(ParkingPolicy, ParksNobodyWhereTheTargetIsNothing) {
    Stage stage{4, 0};
    stage.look_often(0);
    EXPECT_EQ(stage.active(), 4U);
}

TEST(ParkingPolicy, UnparksWhenPayloadsWaitThatNobodyTakes) {
    Stage stage{2, 0.8};
    stage.look_often(0);
    ASSERT_EQ(stage.active(), 1U);

    const Decision decision = stage.policy.look(std::vector<Load>(2), true);

    EXPECT_THAT(decision.instances, SizeIs(1));
    EXPECT_THAT(decision.reason, HasSubstr("payloads wait"));
    EXPECT_EQ(stage.active(), 2U);
}

}  // namespace
}  // namespace penstock
