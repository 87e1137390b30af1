#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <mpi.h>

#include <penstock/error.hpp>

#include "base/unique_handle.hpp"

namespace penstock::hdf5 {

/// What an instance brings to a round of writing. Goes from one to all others as its bytes.
struct Contribution {
    std::uint64_t payloads = 0;
    std::uint64_t rows = 0;
    std::uint64_t metadata_bytes = 0;
    std::uint8_t is_last = 0;  ///< It has nothing after this round.
    std::uint8_t has_form = 0;
    std::uint8_t dtype = 0;
    std::uint8_t dims = 0;
    std::array<std::uint64_t, 8> extents{};
};

/// The instances of a stage, where they agree on what to do together through MPI. Rounds have numbers from 1 on; every
/// instance joins in each of them, in this order. Used by the thread that runs the operator.
class StageGroup {
public:
    /// Collective. @param communicator  As `StageContext::communicator` has it.
    explicit StageGroup(int communicator);
    StageGroup(const StageGroup&) = delete;
    StageGroup& operator=(const StageGroup&) = delete;
    ~StageGroup();

    [[nodiscard]] int instance() const noexcept { return instance_; }
    [[nodiscard]] int instances() const noexcept { return instances_; }
    [[nodiscard]] MPI_Comm communicator() const noexcept { return state_->comm.get(); }

    /// Asks the others to join in a round. Does not wait.
    void ask(std::uint64_t round);
    /// The latest round that somebody has asked for.
    [[nodiscard]] std::uint64_t asked();

    /// Joins in the next round. Does not wait. REQUIRES: the round before has met.
    void join(const Contribution& mine);
    /// Whether all have joined in the round.
    [[nodiscard]] bool has_met();
    /// What everybody brought to the last round, by instance.
    [[nodiscard]] const std::vector<Contribution>& contributions() const noexcept { return state_->all; }

    /// Collective. @throws the failure of the first instance that has one, in all of them.
    void agree(const std::optional<Error>& failure);

private:
    struct CommTraits {
        using Handle = MPI_Comm;
        static Handle null() noexcept { return MPI_COMM_NULL; }
        static void release(Handle handle) noexcept { MPI_Comm_free(&handle); }
    };

    /// What MPI holds addresses into.
    struct State {
        UniqueHandle<CommTraits> comm;
        std::uint64_t asking = 0;
        std::vector<MPI_Request> sends;
        Contribution mine;
        std::vector<Contribution> all;
        MPI_Request gathering = MPI_REQUEST_NULL;
    };

    int instance_ = 0;
    int instances_ = 1;
    std::uint64_t asked_ = 0;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::hdf5
