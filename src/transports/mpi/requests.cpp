#include "transports/mpi/requests.hpp"

#include <thread>

#include "transports/mpi/mpi_handles.hpp"

namespace penstock::mpi {

Requests::Requests() {
    requests_.reserve(usual);
    watched_.reserve(usual);
    indices_.reserve(usual);
    statuses_.reserve(usual);
    free_.reserve(usual);
}

Requests::Slot Requests::insert(MPI_Request request, Watched watched) {
    if (free_.empty()) {
        const auto slot = static_cast<Slot>(requests_.size());
        requests_.push_back(MPI_REQUEST_NULL);
        watched_.emplace_back();
        indices_.resize(requests_.size());
        statuses_.resize(requests_.size());
        free_.reserve(requests_.capacity());
        free_.push_back(slot);
    }
    const Slot slot = free_.back();
    free_.pop_back();
    requests_[slot] = request;
    watched_[slot] = watched;
    return slot;
}

void Requests::start(Slot slot) {
    check(MPI_Start(&requests_[slot]), "MPI_Start");
    watched_[slot].active = true;
}

void Requests::test(std::vector<Completed>& completed) {
    int count = 0;
    const int status =
        MPI_Testsome(static_cast<int>(requests_.size()), requests_.data(), &count, indices_.data(), statuses_.data());
    if (status != MPI_ERR_IN_STATUS) check(status, "MPI_Testsome");
    if (count == MPI_UNDEFINED) return;
    for (int i = 0; i < count; ++i) {
        const auto slot = static_cast<Slot>(indices_[static_cast<std::size_t>(i)]);
        const MPI_Status& end = statuses_[static_cast<std::size_t>(i)];
        Watched& watched = watched_[slot];
        watched.active = false;
        int bytes = 0;
        if (watched.job.is_receive()) check(MPI_Get_count(&end, MPI_BYTE, &bytes), "MPI_Get_count");
        completed.push_back({.job = watched.job,
                             .error = status == MPI_ERR_IN_STATUS ? end.MPI_ERROR : MPI_SUCCESS,
                             .source = static_cast<Rank>(end.MPI_SOURCE),
                             .bytes = static_cast<std::size_t>(bytes)});
        if (!watched.persistent) free_.push_back(slot);
    }
}

bool Requests::shut_down(std::chrono::steady_clock::time_point deadline) noexcept {
    for (Slot slot = 0; slot < requests_.size(); ++slot) {
        if (watched_[slot].active && watched_[slot].job.is_receive()) MPI_Cancel(&requests_[slot]);
    }
    int all = 0;
    while (true) {
        MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &all, MPI_STATUSES_IGNORE);
        if (all != 0 || std::chrono::steady_clock::now() > deadline) break;
        std::this_thread::sleep_for(std::chrono::microseconds{50});
    }
    for (MPI_Request& request : requests_) {
        if (request != MPI_REQUEST_NULL) MPI_Request_free(&request);
    }
    return all != 0;
}

}  // namespace penstock::mpi
