#include "runtime/snapshot.hpp"

#include <cstring>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/statistics.hpp"
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
            run.instances.push_back({.rank = rank, .ready = true, .status = empty_status(status_shape(plan, rank))});
        }
        for (const std::uint32_t rank : {1U, 2U}) {
            status(rank).channels[0] = {
                .published = 10, .sent = 8, .settled = 5, .dropped = 2, .bytes = 800, .credits = 3};
        }
        status(3).channels[0] = {.sent = 15, .settled = 10, .bytes = 1500, .queued = 4};
        status(3).channels[1] = {.published = 11, .sent = 11, .settled = 9, .bytes = 1100, .credits = 0};
        status(4).channels[0] = {.sent = 9, .settled = 9, .bytes = 900};
        stall(1, 0, Stall::no_credit, 1000);
        stall(2, 0, Stall::no_credit, 500);
        stall(3, 0, Stall::no_data, 250);
        stall(3, 1, Stall::fabric, 125);
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
    void stall(std::uint32_t rank, std::size_t slot, Stall cause, std::uint64_t milliseconds) {
        status(rank).channels[slot].stalled_ns[static_cast<std::size_t>(cause)] = milliseconds * 1'000'000;
    }
    void spend(std::uint32_t rank, Activity what, std::uint64_t milliseconds) {
        status(rank).head.spent_ns[static_cast<std::size_t>(what)] = milliseconds * 1'000'000;
    }
    [[nodiscard]] json instance_json(std::size_t stage) const {
        return json::parse(snapshot_json(plan, run, ""))["stages"][stage]["instances"][0];
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

TEST_F(SnapshotTest, SumsWhatIsInFlightAndWhyNothingMoved) {
    const ChannelTotals first = channel_totals(plan, run, 0);
    const ChannelTotals second = channel_totals(plan, run, 1);

    EXPECT_EQ(first.in_flight, 6U);
    EXPECT_EQ(second.in_flight, 2U);
    EXPECT_EQ(first.stalled_ns, (std::array<std::uint64_t, stalls>{250'000'000, 1'500'000'000, 0}));
    EXPECT_EQ(second.stalled_ns, (std::array<std::uint64_t, stalls>{0, 0, 125'000'000}));
}

TEST_F(SnapshotTest, TellsWhereTheTimeOfAnInstanceWent) {
    spend(3, Activity::starting, 10'000);
    spend(3, Activity::operating, 1'000);
    spend(3, Activity::paced, 500);
    spend(3, Activity::waiting_for_input, 250);
    spend(3, Activity::waiting_for_credit, 125);
    spend(3, Activity::waiting_for_memory, 62);
    spend(3, Activity::waiting_for_outbox, 20);
    spend(3, Activity::waiting_for_blob, 11);
    spend(3, Activity::waiting_for_settlement, 32);
    spend(3, Activity::done, 10'000);

    const json worker = instance_json(1);

    EXPECT_DOUBLE_EQ(worker["utilization"].get<double>(), 0.75) << "starting and having ended do not count";
    EXPECT_EQ(worker["time_s"].size(), 7U);
    EXPECT_DOUBLE_EQ(worker["time_s"]["operator"].get<double>(), 1);
    EXPECT_DOUBLE_EQ(worker["time_s"]["paced"].get<double>(), 0.5);
    EXPECT_DOUBLE_EQ(worker["time_s"]["no_data"].get<double>(), 0.25);
    EXPECT_DOUBLE_EQ(worker["time_s"]["no_credit"].get<double>(), 0.125);
    EXPECT_DOUBLE_EQ(worker["time_s"]["no_memory"].get<double>(), 0.062);
    EXPECT_DOUBLE_EQ(worker["time_s"]["fabric"].get<double>(), 0.031);
    EXPECT_DOUBLE_EQ(worker["time_s"]["settlement"].get<double>(), 0.032);
}

TEST_F(SnapshotTest, DoesNotCallASourceThatPausesBusy) {
    spend(1, Activity::operating, 100);
    spend(1, Activity::paced, 300);

    EXPECT_DOUBLE_EQ(instance_json(0)["utilization"].get<double>(), 0.25);
}

TEST_F(SnapshotTest, TellsTheThreadsOfAStageThatHasSeveral) {
    EXPECT_FALSE(instance_json(1).contains("threads"));
    plan.stages[1].threads = 4;
    status(3).head.active_threads = 3;
    status(3).head.morsels = 1000;
    status(3).head.steals = 7;

    EXPECT_EQ(instance_json(1)["threads"], (json{{"limit", 4}, {"active", 3}, {"morsels", 1000}, {"steals", 7}}));
}

TEST_F(SnapshotTest, IsNotBusyBeforeItBegins) {
    EXPECT_EQ(instance_json(1)["utilization"], 0.0);
}

TEST_F(SnapshotTest, TellsLatenciesWherePayloadsEnd) {
    for (int i = 0; i < 99; ++i) status(4).latency[0].record(2'000);
    status(4).latency[0].record(3'000'000'000);
    status(4).head.clock_differs = 7;

    const json all = json::parse(snapshot_json(plan, run, ""));

    const json& writer = all["stages"][2]["instances"][0]["latency_us"];
    EXPECT_EQ(writer["count"], 100);
    EXPECT_NEAR(writer["p50"].get<double>(), 2, 2.0 / 32);
    EXPECT_NEAR(writer["p99"].get<double>(), 2, 2.0 / 32);
    EXPECT_DOUBLE_EQ(writer["p999"].get<double>(), 3e6);
    EXPECT_DOUBLE_EQ(writer["max"].get<double>(), 3e6);
    const json& stage = all["stages"][2]["latency_us"];
    EXPECT_EQ(stage["count"], 100);
    EXPECT_EQ(stage["at_most"]["1.024"], 0);
    EXPECT_EQ(stage["at_most"]["2.048"], 99);
    EXPECT_EQ(stage["at_most"]["17179869.184"], 100);
    EXPECT_FALSE(all["stages"][1].contains("latency_us"));
    EXPECT_FALSE(all["stages"][1]["instances"][0].contains("latency_us"));
    EXPECT_EQ(all["latency_us"]["count"], 100);
    EXPECT_EQ(all["latency_us"]["negative"], 7);
    EXPECT_EQ(all["latency_us"]["several_clocks"], false);
}

TEST_F(SnapshotTest, SaysWhereClocksMayDiffer) {
    status(4).latency[0].record(2'000);
    EXPECT_THAT(snapshot_table(plan, run), Not(HasSubstr("clocks")));

    run.several_hosts = true;

    EXPECT_THAT(snapshot_table(plan, run), HasSubstr("off by what their clocks differ"));
    EXPECT_EQ(json::parse(snapshot_json(plan, run, ""))["latency_us"]["several_clocks"], true);
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
                                        {"filtered", 0},
                                        {"skipped", 0},
                                        {"bytes", 1600},
                                        {"rank0_bytes", 0},
                                        {"queued", 4},
                                        {"in_flight", 6},
                                        {"stalled_s", {{"no_data", 0.25}, {"no_credit", 1.5}, {"fabric", 0.0}}}}));
    const json worker = all["stages"][1]["instances"][0];
    EXPECT_EQ(worker["rank"], 3);
    EXPECT_EQ(worker["instance"], 0);
    EXPECT_EQ(worker["state"], "inside its operator");
    EXPECT_EQ(worker["inputs"][0]["channel"], "producer-worker");
    EXPECT_EQ(worker["inputs"][0]["queued"], 4);
    EXPECT_EQ(worker["outputs"][0]["channel"], "worker-writer");
    EXPECT_EQ(worker["outputs"][0]["sent"], 11);
}

TEST_F(SnapshotTest, SaysWhatCompressionCameTo) {
    plan.channels[0].compression = {Codec::lz4, 1};
    status(1).channels[0].bytes = 1000;
    status(1).channels[0].packed_to = 150;
    status(2).channels[0].bytes = 600;
    status(2).channels[0].packed_to = 250;
    status(2).channels[0].not_packed = 2;

    const json all = json::parse(snapshot_json(plan, run, ""));

    EXPECT_EQ(all["channels"][0]["compression"], (json{{"codec", "lz4"},
                                                       {"level", 1},
                                                       {"bytes_before", 1600},
                                                       {"bytes_after", 400},
                                                       {"ratio", 4.0},
                                                       {"raw_payloads", 2}}));
    EXPECT_FALSE(all["channels"][1].contains("compression"));
    EXPECT_EQ(all["stages"][0]["instances"][1]["outputs"][0]["bytes_after"], 250);
    EXPECT_EQ(all["stages"][0]["instances"][1]["outputs"][0]["raw_payloads"], 2);
    EXPECT_NE(snapshot_table(plan, run).find("lz4 to 400 B (4.00), 2 raw"), std::string::npos)
        << snapshot_table(plan, run);
}

TEST_F(SnapshotTest, HasNoRatioBeforeSomethingIsSent) {
    EXPECT_EQ(compression_ratio({}), 1.0);
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
    status(3).head.spent_ns.fill(~std::uint64_t{0});
    status(3).channels[1].stalled_ns.fill(~std::uint64_t{0});
    status(3).channels[1].settled = 1000;

    EXPECT_THAT(waiting("producer.1"), HasSubstr("unknown state"));
    EXPECT_THAT(waiting("writer.0"), HasSubstr("waiting for input;"));
    EXPECT_TRUE(json::accept(snapshot_json(plan, run, "")));
    EXPECT_EQ(channel_totals(plan, run, 1).in_flight, 0U);
    EXPECT_THAT(snapshot_table(plan, run), HasSubstr("worker"));
}

TEST_F(SnapshotTest, IsWrittenAsATableForPeople) {
    const std::string table = snapshot_table(plan, run);

    EXPECT_THAT(table, HasSubstr("demo running in 2.00 s"));
    EXPECT_THAT(table, HasSubstr("3000 records"));
    EXPECT_THAT(table, HasSubstr("producer-worker"));
    EXPECT_THAT(table, HasSubstr("latency p50"));
    EXPECT_THAT(table, HasSubstr("no credit"));
    EXPECT_THAT(table, HasSubstr("1.5 s"));
    EXPECT_THAT(table, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace penstock
