#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <mpi.h>

#include "transports/transport.hpp"

namespace penstock::mpi {

/// What a request was made for, so that its end finds its way back.
struct Job {
    enum class Kind : std::uint8_t { frames_in, frames_out, demand_in, demand_out, blob_in, blob_out };
    Kind kind;
    std::uint32_t owner;  ///< The peer's rank, or the number of the demand, fetch or reply.
    std::uint32_t lane = 0;

    [[nodiscard]] bool is_receive() const noexcept {
        return kind == Kind::frames_in || kind == Kind::demand_in || kind == Kind::blob_in;
    }
};

struct Completed {
    Job job;
    int error = MPI_SUCCESS;
    Rank source = 0;
    std::size_t bytes = 0;  ///< Of a receive.
};

/// All requests of the transport, asked after in one call: each call into MPI drives its progress, once is enough.
class Requests {
public:
    using Slot = std::uint32_t;

    /// Up to that many at a time take no more memory from the heap.
    static constexpr std::size_t usual = 256;

    Requests();
    Requests(const Requests&) = delete;
    Requests& operator=(const Requests&) = delete;

    /// Watches a request until it has completed.
    void add(MPI_Request request, Job job) { insert(request, {job, false, true}); }
    /// Watches a persistent request, not started yet.
    [[nodiscard]] Slot add_persistent(MPI_Request request, Job job) { return insert(request, {job, true, false}); }
    void start(Slot slot);

    /// Appends what has completed.
    void test(std::vector<Completed>& completed);

    /// Gives up the receives and waits for the sends, which MPI cannot give up.
    /// @return false if MPI still uses some of the buffers after that long.
    [[nodiscard]] bool shut_down(std::chrono::steady_clock::time_point deadline) noexcept;

private:
    struct Watched {
        Job job{};
        bool persistent = false;
        bool active = false;
    };

    Slot insert(MPI_Request request, Watched watched);

    // By slot. The arrays beside the requests are MPI's to write to.
    std::vector<MPI_Request> requests_;
    std::vector<Watched> watched_;
    std::vector<int> indices_;
    std::vector<MPI_Status> statuses_;
    std::vector<Slot> free_;
};

}  // namespace penstock::mpi
