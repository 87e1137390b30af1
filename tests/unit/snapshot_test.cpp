#include "runtime/snapshot.hpp"

#include <cstring>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

/// Ranks: producer 1 and 2, worker 3, writer 4.
class SnapshotTest : public ::testing::Test {
protected:
    SnapshotTest() {
        run.state = RunState::running;
        run.elapsed_s = 2;
        for (std::uint32_t rank = 1; rank < plan.ranks(); ++rank) {
            const PlannedStage& stage = plan.stages[plan.place(rank).stage];
            run.instances.push_back({.rank = rank, .ready = true});
            run.instances.back().status.channels.resize(stage.inputs.size() + stage.outputs.size());
        }
        for (const std::uint32_t rank : {1U, 2U}) {
            status(rank).channels[0] = {
                .published = 10, .sent = 8, .settled = 5, .dropped = 2, .bytes = 800, .credits = 3};
        }
        status(3).channels[0] = {.sent = 15, .settled = 10, .bytes = 1500, .queued = 4};
        status(3).channels[1] = {.published = 11, .sent = 11, .settled = 9, .bytes = 1100, .credits = 0};
        status(4).channels[0] = {.sent = 9, .settled = 9, .bytes = 900};
        count(1, 0, "records", 1000);
        count(2, 0, "records", 2000);
        count(2, 1, "malformed", 1);
        activity(1, Activity::waiting_for_memory);
        activity(2, Activity::waiting_for_credit, 0);
        activity(3, Activity::operating, 0);
        status(3).head.payload = 42;
        activity(4, Activity::waiting_for_input, 1);
    }

    [[nodiscard]] Status& status(std::uint32_t rank) { return run.instances[rank - 1].status; }
    void activity(std::uint32_t rank, Activity what, std::uint64_t channel = 0) {
        status(rank).head.activity = static_cast<std::uint64_t>(what);
        status(rank).head.channel = channel;
    }
    void count(std::uint32_t rank, std::size_t slot, const char* name, std::uint64_t value) {
        NamedCounter& counter = status(rank).head.named[slot];
        std::strncpy(counter.name.data(), name, counter.name.size() - 1);
        counter.value = value;
    }
    /// The line about that instance.
    [[nodiscard]] std::string waiting(const std::string& label) const {
        const std::string report = waiting_report(plan, run);
        const auto at = report.find("  " + label + " ");
        if (at == std::string::npos) return {};
        return report.substr(at + 2, report.find('\n', at) - at - 2);
    }

    Plan plan = make_plan(PipelineBuilder{"demo"}
                              .stage(stage("producer", "any_source", 2))
                              .stage(stage("worker", "pass"))
                              .stage(stage("writer", "eat"))
                              .channel(channel("producer", "worker"))
                              .channel(channel("worker", "writer"))
                              .build(),
                          sample_registry());
    RunSnapshot run;
};

TEST_F(SnapshotTest, SumsBothEndsOfAChannel) {
    const ChannelTotals totals = channel_totals(plan, run, 0);

    EXPECT_EQ(totals.published, 20U);
    EXPECT_EQ(totals.dropped, 4U);
    EXPECT_EQ(totals.settled, 10U);
    EXPECT_EQ(totals.bytes, 1600U);
    EXPECT_EQ(totals.delivered, 15U);
    EXPECT_EQ(totals.queued, 4U);
}

TEST_F(SnapshotTest, CountsACentralChannelOverBothHops) {
    run.brokers = {
        {.channel = 0, .published = 15, .settled = 12, .dropped = 1, .bytes = 1400, .queued = 3, .touched_bytes = 90}};

    const ChannelTotals totals = channel_totals(plan, run, 0);

    EXPECT_EQ(totals.published, 20U);
    EXPECT_EQ(totals.delivered, 15U);
    EXPECT_EQ(totals.settled, 12U);
    EXPECT_EQ(totals.dropped, 5U) << "by the producers and by the coordinator";
    EXPECT_EQ(totals.bytes, 1400U);
    EXPECT_EQ(totals.queued, 7U);
    EXPECT_EQ(totals.rank0_bytes, 90U);
}

TEST_F(SnapshotTest, CountsABroadcastOnceForEachReceiverThoughRankZeroGetsItOnce) {
    plan.channels[0].route = Route::broadcast;
    plan.stages[1].instances = 3;
    run.brokers = {{.channel = 0, .published = 48, .settled = 40}};

    const ChannelTotals totals = channel_totals(plan, run, 0);

    EXPECT_EQ(totals.published, 60U);
    EXPECT_EQ(totals.dropped, 12U);
}

TEST_F(SnapshotTest, SumsTheCountersOfAStage) {
    EXPECT_EQ(counter_total(plan, run, 0, "records"), 3000U);
    EXPECT_EQ(counter_total(plan, run, 0, "malformed"), 1U);
    EXPECT_EQ(counter_total(plan, run, 0, "absent"), 0U);
    EXPECT_EQ(counter_total(plan, run, 1, "records"), 0U);
}

TEST_F(SnapshotTest, IsWrittenAsJson) {
    const json all = json::parse(snapshot_json(plan, run, "/runs/demo-1"));

    EXPECT_EQ(all["pipeline"], "demo");
    EXPECT_EQ(all["state"], "running");
    EXPECT_EQ(all["exit_code"], 0);
    EXPECT_EQ(all["error"], "");
    EXPECT_EQ(all["run_dir"], "/runs/demo-1");
    ASSERT_EQ(all["stages"].size(), 3U);
    EXPECT_EQ(all["stages"][0]["name"], "producer");
    EXPECT_EQ(all["stages"][0]["operator"], "any_source");
    EXPECT_EQ(all["stages"][0]["counters"], (json{{"records", 3000}, {"malformed", 1}}));
    ASSERT_EQ(all["channels"].size(), 2U);
    EXPECT_EQ(all["channels"][0], (json{{"name", "producer-worker"},
                                        {"published", 20},
                                        {"delivered", 15},
                                        {"settled", 10},
                                        {"dropped", 4},
                                        {"bytes", 1600},
                                        {"rank0_bytes", 0}}));
    const json worker = all["stages"][1]["instances"][0];
    EXPECT_EQ(worker["rank"], 3);
    EXPECT_EQ(worker["instance"], 0);
    EXPECT_EQ(worker["state"], "inside its operator");
    EXPECT_EQ(worker["inputs"][0]["channel"], "producer-worker");
    EXPECT_EQ(worker["inputs"][0]["queued"], 4);
    EXPECT_EQ(worker["outputs"][0]["channel"], "worker-writer");
    EXPECT_EQ(worker["outputs"][0]["sent"], 11);
}

TEST_F(SnapshotTest, KeepsItsJsonLegalWhateverAnErrorSays) {
    run.state = RunState::failed;
    run.exit_code = 6;
    run.error = "line one\n\"quoted\" \xff\xfe";

    const json all = json::parse(snapshot_json(plan, run, "/runs/demo-1"));

    EXPECT_EQ(all["state"], "failed");
    EXPECT_EQ(all["exit_code"], 6);
    EXPECT_THAT(all["error"].get<std::string>(), HasSubstr("line one\n\"quoted\""));
}

TEST_F(SnapshotTest, TellsWhoWaitsForWhomHoldingWhat) {
    EXPECT_EQ(waiting("producer.0"),
              "producer.0 (rank 1): waiting for memory (its arena is full of unsettled payloads); "
              "'producer-worker': holds 3 credits, 3 unsettled");
    EXPECT_EQ(waiting("producer.1"),
              "producer.1 (rank 2): waiting for credit on channel 'producer-worker' to stage 'worker'; "
              "'producer-worker': holds 3 credits, 3 unsettled");
    EXPECT_EQ(waiting("worker.0"),
              "worker.0 (rank 3): inside its operator 'pass' with payload 42; "
              "'worker-writer': holds 0 credits, 2 unsettled; 'producer-worker': 4 queued");
    EXPECT_EQ(waiting("writer.0"),
              "writer.0 (rank 4): waiting for input on channel 'worker-writer' from stage 'worker'; "
              "'worker-writer': 0 queued");
}

TEST_F(SnapshotTest, LeavesOutWhoIsDoneAndSaysWhoIsNotReady) {
    run.instances[0].done = true;
    run.instances[1].ready = false;

    EXPECT_EQ(waiting("producer.0"), "");
    EXPECT_THAT(waiting("producer.1"), HasSubstr("not ready"));
}

/// The words of a status come from another process.
TEST_F(SnapshotTest, SurvivesAStatusThatMakesNoSense) {
    status(2).head.activity = 1000;
    status(4).head.channel = ~std::uint64_t{0};

    EXPECT_THAT(waiting("producer.1"), HasSubstr("unknown state"));
    EXPECT_THAT(waiting("writer.0"), HasSubstr("waiting for input;"));
    EXPECT_TRUE(json::accept(snapshot_json(plan, run, "")));
}

TEST_F(SnapshotTest, IsWrittenAsATableForPeople) {
    const std::string table = snapshot_table(plan, run);

    EXPECT_THAT(table, HasSubstr("demo running in 2.00 s"));
    EXPECT_THAT(table, HasSubstr("3000 records"));
    EXPECT_THAT(table, HasSubstr("producer-worker"));
    EXPECT_THAT(table, Not(HasSubstr("nan")));
}

TEST(StatusBlock, IsReadAsItWasWritten) {
    std::vector<std::uint64_t> memory(StatusBlock::bytes(2) / sizeof(std::uint64_t), 7);
    auto* bytes = reinterpret_cast<std::byte*>(memory.data());
    StatusBlock block{bytes, 2};
    EXPECT_EQ(read_status(bytes, 2).moved(), 0U) << "it starts with zeros";

    block.set_activity(Activity::waiting_for_credit, 5);
    block.set_payload(99);
    add(block.channel(1).sent, 3);
    add(block.channel(1).settled, 2);
    EXPECT_TRUE(block.count("records", 10));
    EXPECT_TRUE(block.count("records", 5));
    const Status status = read_status(bytes, 2);

    EXPECT_EQ(status.head.activity, static_cast<std::uint64_t>(Activity::waiting_for_credit));
    EXPECT_EQ(status.head.channel, 5U);
    EXPECT_EQ(status.head.payload, 99U);
    EXPECT_EQ(status.channels[1].sent, 3U);
    EXPECT_STREQ(status.head.named[0].name.data(), "records");
    EXPECT_EQ(status.head.named[0].value, 15U);
    EXPECT_EQ(status.moved(), 3U + 2U);
    EXPECT_EQ(status.counted(), 15U);
}

TEST(StatusBlock, HasRoomForEightNamesAndCutsLongOnes) {
    std::vector<std::uint64_t> memory(StatusBlock::bytes(0) / sizeof(std::uint64_t));
    StatusBlock block{reinterpret_cast<std::byte*>(memory.data()), 0};
    const std::string longer(40, 'n');

    EXPECT_TRUE(block.count(longer, 1));
    EXPECT_TRUE(block.count(longer, 1));
    for (int i = 1; i < 8; ++i) EXPECT_TRUE(block.count("name" + std::to_string(i), 1));
    EXPECT_FALSE(block.count("one too many", 1));

    const Status status = read_status(reinterpret_cast<std::byte*>(memory.data()), 0);
    EXPECT_EQ(std::string{status.head.named[0].name.data()}, longer.substr(0, 23));
    EXPECT_EQ(status.head.named[0].value, 2U);
}

TEST(StatusBlock, ReadsHostileBytesAsNumbersAndCutNames) {
    const std::vector<std::uint64_t> memory(StatusBlock::bytes(1) / sizeof(std::uint64_t), ~std::uint64_t{0});

    const Status status = read_status(reinterpret_cast<const std::byte*>(memory.data()), 1);

    EXPECT_EQ(status.head.named[7].name.back(), '\0');
    EXPECT_EQ(words_for(static_cast<Activity>(status.head.activity)), "in an unknown state");
}

}  // namespace
}  // namespace penstock
