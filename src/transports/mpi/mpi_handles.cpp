#include "transports/mpi/mpi_handles.hpp"

#include <chrono>
#include <thread>

namespace penstock::mpi {
namespace {

constexpr std::chrono::seconds duplicate_timeout{60};

}  // namespace

std::string text_of(int status) {
    std::string text(MPI_MAX_ERROR_STRING, '\0');
    int length = 0;
    if (MPI_Error_string(status, text.data(), &length) != MPI_SUCCESS) return "status " + std::to_string(status);
    text.resize(static_cast<std::size_t>(length));
    return text;
}

Comm duplicate_world() {
    MPI_Comm copy = MPI_COMM_NULL;
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Comm_idup(MPI_COMM_WORLD, &copy, &request), "MPI_Comm_idup");
    const auto deadline = std::chrono::steady_clock::now() + duplicate_timeout;
    for (int done = 0; done == 0;) {
        check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
        if (done != 0) break;
        if (std::chrono::steady_clock::now() > deadline) {
            throw Error{Errc::timed_out,
                        "not every rank set up its MPI transport within 60 s; see the other ranks' logs"};
        }
        std::this_thread::sleep_for(std::chrono::microseconds{50});
    }
    Comm owned{copy};
    check(MPI_Comm_set_errhandler(owned.get(), MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    return owned;
}

}  // namespace penstock::mpi
