#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/time_text.hpp"
#include "operators/telemetry/store.hpp"
#include "support/fake_runtime.hpp"
#include "support/file_size_limit.hpp"
#include "support/scratch_folder.hpp"
#include "unit/error_of.hpp"

namespace penstock::telemetry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace penstock::test;

constexpr std::size_t plenty = 1000;

[[nodiscard]] std::vector<std::string> values(const std::vector<std::string>& paths, const Query& query = {},
                                              std::size_t at_a_time = plenty) {
    std::vector<std::string> lines;
    Readings{paths, query, at_a_time}.tell([&](const Reading& reading) {
        lines.push_back(std::string{reading.metric_name} + " " + std::string{reading.gpu_uuid} + " " +
                        std::to_string(reading.time_ns) + " " +
                        (std::isnan(reading.value) ? "none" : std::to_string(static_cast<int>(reading.value))) +
                        (reading.labels_raw.empty() ? "" : " " + std::string{reading.labels_raw}));
        return true;
    });
    return lines;
}

[[nodiscard]] Sample sample(std::string_view gpu, std::string_view metric, std::int64_t time,
                            std::string_view labels = "") {
    return {.gpu_uuid = gpu, .metric_name = metric, .value = "", .time_ns = time, .labels_raw = labels};
}

class StoreTest : public ::testing::Test {
protected:
    ScratchFolder folder;
    std::string path = folder.path("telemetry.h5");
};

TEST_F(StoreTest, FindsByMetricTimeAndGpu) {
    {
        Store store{path};
        EXPECT_TRUE(store.add(sample("GPU-2", "N", 5), 1));
        EXPECT_TRUE(store.add(sample("GPU-1", "M", 20, "a=\"b\""), 2));
        EXPECT_TRUE(store.add(sample("GPU-1", "M", 10), std::numeric_limits<double>::quiet_NaN()));
        EXPECT_TRUE(store.add(sample("GPU-2", "M", 10), 4));
        store.flush();
        EXPECT_EQ(store.values(), 4U);
    }
    EXPECT_THAT(values({path}), ElementsAre("M GPU-1 10 none", "M GPU-2 10 4", "M GPU-1 20 2 a=\"b\"", "N GPU-2 5 1"));
    EXPECT_THAT(values({path}, {.gpu = "GPU-2"}), ElementsAre("M GPU-2 10 4", "N GPU-2 5 1"));
    EXPECT_THAT(values({path}, {.metric = "N"}), ElementsAre("N GPU-2 5 1"));
    EXPECT_THAT(values({path}, {.from_ns = 10, .to_ns = 20}), ElementsAre("M GPU-1 10 none", "M GPU-2 10 4"));
    EXPECT_THAT(values({path}, {.gpu = "none"}), IsEmpty());
}

TEST_F(StoreTest, LeavesOutWhatIsThereAlsoAfterItWasClosed) {
    for (int round = 0; round < 3; ++round) {
        Store store{path};
        for (std::int64_t time = 0; time < 5000; ++time) {
            EXPECT_EQ(store.add(sample("GPU-1", "M", time, "l"), 1), round == 0);
            EXPECT_FALSE(store.add(sample("GPU-1", "M", time, "l"), 1));
        }
        store.put({.uuid = "GPU-1", .hostname = "host"});
        store.flush();
    }
    EXPECT_EQ(values({path}).size(), 5000U);
    EXPECT_EQ(read_gpus({path}).size(), 1U);
}

TEST_F(StoreTest, ReplacesWhatWasKnownOfAGpu) {
    {
        Store store{path};
        store.put({.uuid = "GPU-1", .hostname = "old"});
        store.put({.uuid = "GPU-2", .gpu_index = "10", .hostname = "host"});
        store.put({.uuid = "GPU-3", .gpu_index = "9", .hostname = "host"});
        store.flush();
        store.put({.uuid = "GPU-1", .hostname = "newer", .pod = "pod"});
        store.flush();
    }
    const auto gpus = read_gpus({path});
    ASSERT_EQ(gpus.size(), 3U);
    EXPECT_EQ(gpus[0].uuid, "GPU-3") << "by host and index";
    EXPECT_EQ(gpus[1].uuid, "GPU-2");
    EXPECT_EQ(gpus[2].hostname, "newer");
    EXPECT_EQ(gpus[2].pod, "pod");
}

TEST_F(StoreTest, TakesAnyTextAsTheNameOfAMetric) {
    {
        Store store{path};
        for (const char* name : {"a/b", ".", "..", "100%", "%2F", "\xC3\xA9 x"}) store.add(sample("GPU-1", name, 1), 1);
        store.flush();
    }
    std::vector<std::string> names;
    Readings{{path}, {}}.tell([&](const Reading& reading) {
        names.emplace_back(reading.metric_name);
        return true;
    });
    EXPECT_THAT(names, ElementsAre("%2F", ".", "..", "100%", "a/b", "\xC3\xA9 x"));
}

TEST_F(StoreTest, JoinsSeveralFiles) {
    const std::string other = folder.path("other.h5");
    for (const auto& [name, time] : {std::pair{path, 2}, std::pair{other, 1}}) {
        Store store{name};
        store.put({.uuid = "GPU-1"});
        store.add(sample("GPU-1", "M", time), time);
        store.flush();
    }
    EXPECT_THAT(values({path, other}), ElementsAre("M GPU-1 1 1", "M GPU-1 2 2"));
    EXPECT_EQ(read_gpus({path, other}).size(), 1U);
}

TEST_F(StoreTest, FindsTheSameHoweverLittleIsSortedAtATime) {
    const std::string other = folder.path("other.h5");
    std::vector<std::int64_t> times(20'000);
    std::iota(times.begin(), times.end(), std::int64_t{0});
    std::shuffle(times.begin(), times.end(), std::mt19937{7});
    {
        Store store{path};
        Store second{other};
        for (const std::int64_t time : times) {
            for (const int gpu : {1, 2}) {
                const std::string uuid = "GPU-" + std::to_string(gpu) + "-" + std::to_string(time % 3);
                const std::string label = "l" + std::to_string(time % 3);
                (time % 2 == 0 ? store : second)
                    .add(sample(uuid, "M", time / 3, label), static_cast<double>(time % 100));
            }
        }
        store.flush();
        second.flush();
    }
    const auto all = values({path, other}, {}, times.size() * 2);
    EXPECT_EQ(all.size(), times.size() * 2);
    for (const std::size_t at_a_time : {1U, 100U, 5000U}) {
        EXPECT_EQ(values({path, other}, {}, at_a_time), all) << at_a_time;
        EXPECT_THAT(values({path, other}, {.from_ns = 100, .to_ns = 102}, at_a_time), SizeIs(12)) << at_a_time;
    }
}

TEST_F(StoreTest, FindsAllOfOneTimeThoughItIsMoreThanIsSortedAtATime) {
    {
        Store store{path};
        for (int gpu = 0; gpu < 3000; ++gpu) store.add(sample("GPU-" + std::to_string(gpu), "M", 5), gpu);
        store.add(sample("GPU-1", "M", std::numeric_limits<std::int64_t>::max() - 1), 1);
        store.add(sample("GPU-1", "M", std::numeric_limits<std::int64_t>::min()), 1);
        store.flush();
    }
    EXPECT_THAT(values({path}, {}, 10), SizeIs(3002));
}

TEST_F(StoreTest, TellsWhatIsRightBeforeItFailsForADamagedFile) {
    constexpr std::int64_t time = 0x1122334455667788;
    {
        Store store{path};
        store.add(sample("GPU-1", "M", 1), 1);
        store.add(sample("GPU-1", "N", time), 1);
        store.flush();
    }
    std::string bytes = folder.read("telemetry.h5");
    const std::size_t row = bytes.find(std::string_view{reinterpret_cast<const char*>(&time), sizeof time});
    ASSERT_NE(row, std::string::npos);
    bytes.replace(row + 16, 4, "\xFF\xFF\xFF\x7F");  // its GPU
    folder.write("telemetry.h5", bytes);
    int told = 0;

    const Error error = error_of([&] {
        Readings{{path}, {}}.tell([&](const Reading& reading) {
            EXPECT_EQ(reading.metric_name, "M");
            return ++told > 0;
        });
    });

    EXPECT_EQ(told, 1);
    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("names a GPU or labels that it does not list"));
    EXPECT_EQ(error_of([&] { Store{path}.add(sample("GPU-1", "N", 1), 1); }).code(), Errc::invalid_input);
}

TEST_F(StoreTest, StopsWhenNobodyListens) {
    {
        Store store{path};
        for (std::int64_t time = 0; time < 10; ++time) store.add(sample("GPU-1", time < 5 ? "M" : "N", time), 1);
        store.flush();
    }
    int told = 0;
    Readings{{path}, {}}.tell([&](const Reading&) { return ++told < 3; });
    EXPECT_EQ(told, 3);
}

TEST_F(StoreTest, IsReadWhileItIsWrittenAsOfTheLastFlush) {
    Store store{path};
    EXPECT_THAT(values({path}), IsEmpty());
    store.add(sample("GPU-1", "M", 1), 1);
    EXPECT_THAT(values({path}), IsEmpty());
    store.flush();
    EXPECT_THAT(values({path}), ElementsAre("M GPU-1 1 1"));
    for (std::int64_t time = 2; time < 10'000; ++time) store.add(sample("GPU-1", "M", time), 1);
    EXPECT_THAT(values({path}), SizeIs(1));
    store.flush();
    EXPECT_THAT(values({path}), SizeIs(9999));
}

TEST_F(StoreTest, IsGoneOnWithByOneAtATime) {
    {
        Store store{path};
        const Error error = error_of([&] { Store{path}; });
        EXPECT_EQ(error.code(), Errc::invalid_input);
        EXPECT_THAT(error.what(), HasSubstr("is being written by another"));
        store.add(sample("GPU-1", "M", 1), 1);
        store.flush();
    }
    Store store{path};
    EXPECT_FALSE(store.add(sample("GPU-1", "M", 1), 1));
    EXPECT_TRUE(store.add(sample("GPU-1", "M", 2), 1));
}

TEST_F(StoreTest, SaysWhenTheStorageIsFull) {
    const FileSizeLimit limit{200'000};
    Store store{path};
    store.add(sample("GPU-1", "M", 0), 1);
    store.flush();
    const Error error = error_of([&] {
        for (std::int64_t time = 1; time < 100'000; ++time) store.add(sample("GPU-1", "M", time), 1);
        store.flush();
    });
    EXPECT_EQ(error.code(), Errc::exhausted);
    EXPECT_THAT(error.what(), HasSubstr(path));
    EXPECT_EQ(error_of([&] { store.flush(); }).code(), Errc::exhausted);
    EXPECT_THAT(values({path}), ElementsAre("M GPU-1 0 1"));
}

TEST_F(StoreTest, RefusesOtherFiles) {
    folder.write("text.h5", "no HDF5 at all");
    for (const std::string& wrong : {folder.path("text.h5"), folder.path("none.h5"), folder.path()}) {
        const Error error = error_of([&] { (void)read_gpus({wrong}); });
        EXPECT_EQ(error.code(), Errc::invalid_input);
        EXPECT_THAT(error.what(), HasSubstr(wrong));
    }
    EXPECT_EQ(error_of([&] { Store{folder.path("text.h5")}; }).code(), Errc::invalid_input);
    EXPECT_EQ(error_of([&] { Store{folder.path("no/such/folder.h5")}; }).code(), Errc::invalid_input);
}

TEST_F(StoreTest, CollectorStoresWhatIsGoodAndCountsTheRest) {
    FakeOutput made;
    FakeContext context;
    context.results = folder.path();
    const auto collector = make_builtin<Sink>("telemetry_collector", {}, context);
    const auto message = [&](std::string_view topic, std::string_view text) {
        auto draft = made.draft<char>(text.size());
        std::copy(text.begin(), text.end(), draft.begin());
        draft.set("topic", topic);
        return made.sealed(std::move(draft));
    };
    std::string lines;
    append_sample(lines, {"GPU-1", "M", "1.5", 10, ""});
    lines += "\n{broken}\n";
    append_sample(lines, {"GPU-1", "M", "", 20, ""});
    lines += '\n';
    append_sample(lines, {"GPU-1", "M", "many", 30, ""});
    collector->consume(message("gpu", R"({"uuid":"GPU-1","hostname":"host"})"));
    collector->consume(message("gpu", "{}"));
    collector->consume(message("telemetry", lines));
    collector->consume(message("telemetry", lines));
    collector->consume(message("telemetry", ""));
    collector->finish();

    EXPECT_EQ(context.counters["records"], 2U);
    EXPECT_EQ(context.counters["duplicates"], 2U);
    EXPECT_EQ(context.counters["malformed"], 5U);
    EXPECT_THAT(values({path}), ElementsAre("M GPU-1 10 1", "M GPU-1 20 none"));
    EXPECT_EQ(read_gpus({path}).at(0).hostname, "host");
}

TEST_F(StoreTest, CollectorKeepsMessagesUntilTheFileHasThem) {
    FakeOutput made;
    FakeContext context;
    context.results = folder.path();
    const auto collector =
        make_builtin<Sink>("telemetry_collector", params({{"flush_interval", ParamValue{std::string{"1h"}}}}), context);
    std::string text;
    append_sample(text, {"GPU-1", "M", "1", 10, ""});
    const std::size_t before = made.used_bytes();
    collector->consume(made.text(text));
    EXPECT_GT(made.used_bytes(), before);
    collector->finish();
    EXPECT_EQ(made.used_bytes(), before);
}

TEST_F(StoreTest, CollectorWritesWithinTheIntervalAlsoWhenNothingComes) {
    FakeOutput made;
    FakeContext context;
    context.results = folder.path();
    const auto collector =
        make_builtin<Sink>("telemetry_collector", params({{"flush_interval", ParamValue{std::string{"1h"}}}}), context);
    ASSERT_EQ(context.tick_period, std::chrono::minutes{15});
    std::string text;
    append_sample(text, {"GPU-1", "M", "1", 10, ""});
    const std::size_t before = made.used_bytes();
    collector->tick();
    collector->consume(made.text(text));
    for (int i = 0; i < 3; ++i) collector->tick();
    EXPECT_GT(made.used_bytes(), before);
    collector->tick();
    EXPECT_EQ(made.used_bytes(), before);
    EXPECT_THAT(values({path}), ElementsAre("M GPU-1 10 1"));
}

}  // namespace
}  // namespace penstock::telemetry

// The library does not free a buffer of its own when a write of it fails.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
    return "leak:libhdf5";
}
