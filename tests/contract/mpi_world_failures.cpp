// How an MPI job ends when a rank fails; each way ends the whole job. Run with the name of the failure on two ranks.

#include <cstdio>
#include <string_view>

#include <unistd.h>

#include "launch/mpi_world.hpp"

namespace {

using namespace std::chrono_literals;

void fail(std::string_view failure) {
    penstock::MpiWorld world{300ms};
    if (failure == "silent-rank") {
        if (world.rank() == 1) pause();
        (void)world.allgather("here");
    } else if (failure == "one-throws") {
        if (world.rank() == 0) throw penstock::Error{penstock::Errc::invalid_input, "rank 0 cannot go on"};
        pause();
    } else if (failure == "all-throw") {
        throw penstock::Error{penstock::Errc::invalid_input, "no rank can go on"};
    } else if (failure == "abort") {
        if (world.rank() == 0) world.abort(7);
        pause();
    }
}

}  // namespace

int main(int argc, char** argv) {
    alarm(60);  // ends a rank that nobody ends
    try {
        fail(argc > 1 ? argv[1] : "");
    } catch (const penstock::Error& error) {
        std::puts(error.what());
        return 2;
    }
    return 0;
}
