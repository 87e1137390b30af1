#include "launch/binding.hpp"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <penstock/error.hpp>

#include "base/cores.hpp"
#include "unit/error_of.hpp"

namespace penstock {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(CpuList, IsWrittenAsTheKernelDoes) {
    EXPECT_EQ(cpu_list({}), "");
    EXPECT_EQ(cpu_list({3}), "3");
    EXPECT_EQ(cpu_list({0, 1}), "0-1");
    EXPECT_EQ(cpu_list({0, 2, 3, 4, 9}), "0,2-4,9");
}

TEST(CpuOffer, IsDecodedAsItWasEncoded) {
    const CpuOffer again = CpuOffer::decode(CpuOffer{.host = "node \"7\"", .cpus = {0, 5}, .threads = 3}.encode());

    EXPECT_EQ(again.host, "node \"7\"");
    EXPECT_THAT(again.cpus, ElementsAre(0, 5));
    EXPECT_EQ(again.threads, 3);
    for (const char* text : {"", "[]", "{}", "[\"host\",[1],\"three\"]", "[\"host\",1,1]"}) {
        EXPECT_EQ(error_of([&] { static_cast<void>(CpuOffer::decode(text)); }).code(), Errc::internal) << text;
    }
}

TEST(Placement, LeavesProcessesThatTheLauncherHasPlaced) {
    const Placement placement = place_process(
        Bind::automatic, {{.host = "a", .cpus = {0}, .threads = 1}, {.host = "a", .cpus = {1}, .threads = 1}}, 1);

    EXPECT_THAT(placement.binding.cpus, IsEmpty());
    EXPECT_THAT(placement.reason, HasSubstr("has placed them"));
    EXPECT_FALSE(placement.is_crowded) << "each has a processor, although none has two";
}

TEST(Placement, KnowsWhetherAHostIsCrowded) {
    const auto is_crowded = [](std::size_t processes) {
        const std::vector<CpuOffer> offers(processes, {.host = "a", .cpus = {0, 1, 2}, .threads = 1});
        return place_process(Bind::none, offers, 0).is_crowded;
    };

    EXPECT_FALSE(is_crowded(3));
    EXPECT_TRUE(is_crowded(4));
}

TEST(BindThread, LimitsTheThreadToThoseProcessors) {
    std::thread{[] {
        const int last = usable_cpus().back();
        bind_thread({last});
        EXPECT_THAT(usable_cpus(), ElementsAre(last));
        EXPECT_EQ(error_of([] { bind_thread({CPU_SETSIZE - 1}); }).code(), Errc::failed);
    }}.join();
}

}  // namespace
}  // namespace penstock
