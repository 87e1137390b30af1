#include "launch/mpi_world.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mpi.h>

#include "support/mpi_test.hpp"

namespace penstock::testing {
namespace {

TEST(MpiWorld, GathersStringsOfAllLengthsByRank) {
    const auto text_of = [](Rank rank) { return std::string(rank * 100'000, static_cast<char>('a' + rank)); };

    const auto all = world().allgather(text_of(world().rank()));

    ASSERT_EQ(all.size(), world().size());
    for (Rank rank = 0; rank < world().size(); ++rank) EXPECT_TRUE(all[rank] == text_of(rank)) << "rank " << rank;
}

TEST(MpiWorld, KeepsGathersApart) {
    for (int round = 0; round < 100; ++round) {
        const auto all = world().allgather(std::to_string(round));
        EXPECT_THAT(all, ::testing::Each(std::to_string(round)));
    }
}

TEST(MpiWorld, GroupsTheRanksOfAColour) {
    world().split(static_cast<int>(world().rank() % 2));
    const MPI_Comm stage = MPI_Comm_f2c(world().stage_communicator().value());
    int rank = -1;
    int size = -1;
    MPI_Comm_rank(stage, &rank);
    MPI_Comm_size(stage, &size);

    EXPECT_EQ(rank, static_cast<int>(world().rank() / 2));
    EXPECT_EQ(size, static_cast<int>((world().size() + (world().rank() % 2 == 0 ? 1 : 0)) / 2));
}

TEST(MpiWorld, KnowsThatItIsInsideAJob) {
    EXPECT_TRUE(MpiWorld::detected());
}

TEST(MpiWorld, DescribesTheLibraryTheThreadsAndTheMessageLayer) {
    const std::string text = world().describe();

    EXPECT_THAT(text, ::testing::HasSubstr("threads "));
    if (text.find("Open MPI") != std::string::npos) {
        EXPECT_THAT(text, ::testing::ContainsRegex("message layer (ob1|ucx|cm)"));
    }
    if (world().rank() == 0) RecordProperty("mpi", text);
}

TEST(MpiWorld, CannotBeMadeTwice) {
    EXPECT_THROW((void)MpiWorld{}, Error);
}

}  // namespace
}  // namespace penstock::testing
