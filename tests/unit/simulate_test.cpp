// The simulator of dispatch: what must come out where the answer is known without it.

#include <gtest/gtest.h>

#include "simulate/model.hpp"

namespace penstock::bench {
namespace {

[[nodiscard]] Simulation small(Way way) {
    return {.way = way, .workers = 16, .producers = 2, .payload_bytes = 100, .task_ns = 1e7, .seconds = 1};
}

class Dispatching : public ::testing::TestWithParam<Way> {};

TEST_P(Dispatching, KeepsFewWorkersBusy) {
    const Simulated result = simulate(small(GetParam()));

    EXPECT_NEAR(result.ideal_tasks_per_s, 1600, 1);
    EXPECT_GT(result.tasks_per_s, 0.85 * result.ideal_tasks_per_s);
    EXPECT_LT(result.idle, 0.1);
    EXPECT_GE(result.idle, -1e-9);
    EXPECT_LT(result.rank0_load, 0.05);
}

TEST_P(Dispatching, GivesTheSameForTheSameSeedAndOtherTimesForAnother) {
    Simulation what = small(GetParam());
    const double first = simulate(what).idle;

    EXPECT_EQ(simulate(what).idle, first);
    what.seed = 2;
    EXPECT_NE(simulate(what).idle, first);
}

TEST_P(Dispatching, LosesOneWayOfALatencyForEachTaskOfASlowWorker) {
    Simulation what = small(GetParam());
    what.is_uneven = false;
    what.network.latency_ns = 1e6;

    // Credit to rank 0, what it says, the ticket: a tenth of a millisecond is what frames add.
    const double lost = simulate(what).idle * what.task_ns / (1 - simulate(what).idle);

    EXPECT_GT(lost, 1.9e6);
    EXPECT_LT(lost, 3.2e6);
}

TEST_P(Dispatching, NeedsWorkersAndTwoProducers) {
    Simulation what = small(GetParam());
    what.workers = 0;
    EXPECT_THROW(static_cast<void>(simulate(what)), std::invalid_argument);
    what = small(GetParam());
    what.producers = 1;
    EXPECT_THROW(static_cast<void>(simulate(what)), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(Ways, Dispatching, ::testing::Values(Way::leased, Way::proxy, Way::standard),
                         [](const auto& way) {
                             return way.param == Way::standard ? std::string{"standard"}
                                                               : std::string{name_of(way.param)};
                         });

TEST(Simulation, PassesPayloadsThroughRankZeroByDefaultOnly) {
    Simulation what = small(Way::standard);
    what.payload_bytes = 1'000'000;
    EXPECT_NEAR(simulate(what).rank0_bytes_per_task, 1e6, 1e5);
    what.way = Way::proxy;
    EXPECT_EQ(simulate(what).rank0_bytes_per_task, 0);
    what.way = Way::leased;
    EXPECT_EQ(simulate(what).rank0_bytes_per_task, 0);
}

TEST(Simulation, IsBoundByThePortOfRankZeroWherePayloadsPassIt) {
    Simulation what = small(Way::standard);
    what.payload_bytes = 10'000'000;  // 0.8 ms of 100 Gb/s
    what.workers = 64;
    what.costs.bytes_per_ns = 1e6;

    EXPECT_NEAR(simulate(what).tasks_per_s, 1250, 60);
    what.network = p4d;
    EXPECT_NEAR(simulate(what).tasks_per_s, 5000, 250);
}

TEST(Simulation, IsBoundByRankZeroWhereTicketsPassIt) {
    Simulation what = small(Way::proxy);
    what.workers = 1000;
    what.producers = 32;
    what.task_ns = 1e5;
    what.seconds = 0.1;
    what.costs.ticket_ns = 1000;
    what.costs.frame_ns = 0;

    const Simulated result = simulate(what);

    EXPECT_NEAR(result.tasks_per_s, 1e6, 5e4);
    EXPECT_GT(result.rank0_load, 0.95);
}

TEST(Simulation, GivesSlowWorkersOnePayloadAndFastOnesMany) {
    Simulation what = small(Way::leased);
    what.is_uneven = false;
    EXPECT_EQ(simulate(what).most_queued, 1U);
    what.task_ns = 1e4;
    what.seconds = 0.05;
    const Simulated fast = simulate(what);
    EXPECT_GT(fast.most_queued, 8U);
    EXPECT_LE(fast.most_queued, what.capacity);
    EXPECT_LT(fast.rank0_frames_per_task, 1) << "the coordinator is asked once for many tickets";
}

TEST(Simulation, MeasuresWhatLeasesCost) {
    const Rank0Costs costs = measured_costs();
    EXPECT_GT(costs.frame_ns, 0);
    EXPECT_GE(costs.choice_ns, 0);
}

}  // namespace
}  // namespace penstock::bench
