#include "runtime/status.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/plan_samples.hpp"

namespace penstock {
namespace {

/// Memory as an arena gives it, with an instance's status in it.
struct Sample {
    explicit Sample(StatusShape its_shape)
        : shape{std::move(its_shape)}, words(shape.bytes() / sizeof(std::uint64_t), 7), block{bytes(), shape} {}
    [[nodiscard]] std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(words.data()); }
    [[nodiscard]] Status read() { return read_status(bytes(), shape); }
    /// Lets some time pass that is counted.
    void pass() {
        const std::uint64_t before = read().head.timed_at;
        while (read().head.timed_at < before + 1000) block.bring_up_to_date();
    }

    StatusShape shape;
    std::vector<std::uint64_t> words;
    StatusBlock block;
};

[[nodiscard]] std::uint64_t counted(const Status& status) {
    std::uint64_t sum = 0;
    for (const std::uint64_t spent : status.head.spent_ns) sum += spent;
    return sum;
}

TEST(StatusBlock, IsReadAsItWasWritten) {
    Sample sample{{.channels = {0, 1}, .inputs = 1}};
    StatusBlock& block = sample.block;
    EXPECT_EQ(sample.read().moved(), 0U) << "it starts with zeros";

    block.set_activity(Activity::waiting_for_credit, 5);
    block.set_payload(99);
    add(block.channel(1).sent, 3);
    add(block.channel(1).settled, 2);
    EXPECT_TRUE(block.count("records", 10));
    EXPECT_TRUE(block.count("records", 5));
    const Status status = sample.read();

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
    Sample sample{StatusShape{}};
    StatusBlock& block = sample.block;
    const std::string longer(40, 'n');

    EXPECT_TRUE(block.count(longer, 1));
    EXPECT_TRUE(block.count(longer, 1));
    for (int i = 1; i < 8; ++i) EXPECT_TRUE(block.count("name" + std::to_string(i), 1));
    EXPECT_FALSE(block.count("one too many", 1));

    const Status status = sample.read();
    EXPECT_EQ(std::string{status.head.named[0].name.data()}, longer.substr(0, 23));
    EXPECT_EQ(status.head.named[0].value, 2U);
}

TEST(StatusBlock, ReadsHostileBytesAsNumbersAndCutNames) {
    const StatusShape shape{.channels = {0}, .inputs = 1, .takes_latency = true};
    const std::vector<std::uint64_t> memory(shape.bytes() / sizeof(std::uint64_t), ~std::uint64_t{0});

    Status status = read_status(reinterpret_cast<const std::byte*>(memory.data()), shape);
    status.extend_to(1);

    EXPECT_EQ(status.head.named[7].name.back(), '\0');
    EXPECT_EQ(words_for(static_cast<Activity>(status.head.activity)), "in an unknown state");
    EXPECT_EQ(status.latency[0].max(), ~std::uint64_t{0});
}

TEST(StatusShape, FollowsThePlan) {
    const Plan plan = make_plan(PipelineBuilder{"demo"}
                                    .stage(stage("producer", "any_source"))
                                    .stage(stage("worker", "pass"))
                                    .stage(stage("writer", "eat"))
                                    .channel(channel("producer", "worker"))
                                    .channel(channel("worker", "writer"))
                                    .build(),
                                sample_registry());

    const StatusShape producer = status_shape(plan, 1);
    const StatusShape worker = status_shape(plan, 2);
    const StatusShape writer = status_shape(plan, 3);

    EXPECT_EQ(producer.inputs, 0U);
    EXPECT_EQ(producer.bytes(), sizeof(StatusHead) + sizeof(ChannelStatus));
    EXPECT_EQ(worker.channels, (std::vector<std::uint16_t>{0, 1}));
    EXPECT_EQ(worker.inputs, 1U);
    EXPECT_FALSE(worker.takes_latency);
    EXPECT_EQ(writer.bytes(), sizeof(StatusHead) + sizeof(ChannelStatus) + sizeof(LogHistogram));
    EXPECT_EQ(empty_status(writer).latency.size(), 1U);
    EXPECT_EQ(empty_status(worker).channels.size(), 2U);
}

TEST(StatusBlock, CountsTheTimeOfWhatItIsAt) {
    Sample sample{{.channels = {5, 9}, .inputs = 1}};

    sample.block.set_activity(Activity::operating, 0);
    sample.pass();
    const std::uint64_t at_work = sample.read().head.spent(Activity::operating);
    sample.block.set_activity(Activity::waiting_for_credit, 9);
    sample.pass();
    sample.block.set_activity(Activity::operating, 0);
    const Status status = sample.read();

    EXPECT_GE(at_work, 1000U);
    EXPECT_GE(status.head.spent(Activity::waiting_for_credit), 1000U);
    EXPECT_EQ(status.channels[1].stalled(Stall::no_credit), status.head.spent(Activity::waiting_for_credit));
    EXPECT_EQ(status.channels[1].stalled(Stall::no_data), 0U);
    EXPECT_EQ(status.channels[0].stalled(Stall::no_credit), 0U);
}

TEST(StatusBlock, CountsEachMomentOnce) {
    Sample sample{{.channels = {5, 9}, .inputs = 1}};
    const std::uint64_t begin = sample.read().head.timed_at;

    for (const Activity activity : {Activity::operating, Activity::waiting_for_input, Activity::paced,
                                    Activity::waiting_for_memory, Activity::waiting_for_outbox, Activity::done}) {
        sample.block.set_activity(activity, 5);
        sample.pass();
    }

    EXPECT_EQ(counted(sample.read()), sample.read().head.timed_at - begin);
}

TEST(StatusBlock, LaysAWaitForInputToTheOpenInputs) {
    Sample sample{{.channels = {0, 1, 2}, .inputs = 2}};
    publish(sample.block.channel(0).ended, 1);

    sample.block.set_activity(Activity::waiting_for_input, 1);
    sample.pass();
    const Status status = sample.read();

    EXPECT_EQ(status.channels[0].stalled(Stall::no_data), 0U);
    EXPECT_GE(status.channels[1].stalled(Stall::no_data), 1000U);
    EXPECT_EQ(status.channels[2].stalled(Stall::no_data), 0U);
}

TEST(StatusBlock, LaysWaitsForTheFabricToTheirChannel) {
    Sample sample{{.channels = {3, 4}, .inputs = 1}};

    sample.block.set_activity(Activity::waiting_for_blob, 3);
    sample.pass();
    sample.block.set_activity(Activity::waiting_for_outbox, 4);
    sample.pass();
    sample.block.set_activity(Activity::waiting_for_memory, 0);
    sample.pass();
    const Status status = sample.read();

    EXPECT_GE(status.channels[0].stalled(Stall::fabric), 1000U);
    EXPECT_GE(status.channels[1].stalled(Stall::fabric), 1000U);
    EXPECT_EQ(status.channels[0].stalled(Stall::fabric) + status.channels[1].stalled(Stall::fabric),
              status.head.spent(Activity::waiting_for_blob) + status.head.spent(Activity::waiting_for_outbox));
}

TEST(StatusBlock, TellsWaitsOnTwoChannelsApart) {
    Sample sample{{.channels = {3, 4}, .inputs = 0}};

    sample.block.set_activity(Activity::waiting_for_credit, 3);
    sample.pass();
    sample.block.set_activity(Activity::waiting_for_credit, 4);
    const std::uint64_t first = sample.read().channels[0].stalled(Stall::no_credit);
    sample.pass();
    const Status status = sample.read();

    EXPECT_GE(first, 1000U);
    EXPECT_EQ(status.channels[0].stalled(Stall::no_credit), first);
    EXPECT_GE(status.channels[1].stalled(Stall::no_credit), 1000U);
}

TEST(Status, CountsWhatALongCallHasTakenSoFar) {
    Sample sample{StatusShape{}};
    sample.block.set_activity(Activity::operating, 0);
    Status status = sample.read();
    const std::uint64_t before = status.head.spent(Activity::operating);

    status.extend_to(status.head.timed_at + 5000);
    status.extend_to(status.head.timed_at);
    status.extend_to(0);

    EXPECT_EQ(status.head.spent(Activity::operating), before + 5000);
}

TEST(StatusBlock, RecordsHowLongAPayloadTook) {
    Sample sample{{.channels = {0}, .inputs = 1, .takes_latency = true}};
    const std::uint64_t second = 1'000'000'000;

    sample.block.record_latency(wall_ns() - 3600 * second, ticks());
    const Status status = sample.read();

    EXPECT_EQ(status.latency[0].count(), 1U);
    EXPECT_GE(status.latency[0].max(), 3600 * second);
    EXPECT_EQ(status.head.clock_differs, 0U);
}

TEST(StatusBlock, NeverRecordsThatAPayloadCameBeforeItWasSent) {
    Sample sample{{.channels = {0}, .inputs = 1, .takes_latency = true}};

    sample.block.record_latency(wall_ns() + 3'600'000'000'000, ticks());
    const Status status = sample.read();

    EXPECT_EQ(status.latency[0].count(), 1U);
    EXPECT_EQ(status.latency[0].max(), 0U);
    EXPECT_EQ(status.head.clock_differs, 1U);
}

}  // namespace
}  // namespace penstock
