#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "launch/job_world.hpp"
#include "memory/arena.hpp"

namespace penstock {

/// Which rank of how many a process is, and the file where rank 0 leaves word, as the environment says:
/// PENSTOCK_RANK, PENSTOCK_RANKS and PENSTOCK_RENDEZVOUS, or what srun sets for a task.
struct TcpPlace {
    Rank rank = 0;
    Rank ranks = 1;
    std::string file = {};
    /// @param folder  Of the file, where only Slurm says what job this is.
    /// @throws Error{unsupported} if the environment does not say.
    [[nodiscard]] static TcpPlace from_environment(const std::string& folder);
};

/// Ranks that something without MPI or PMIx has started, such as `srun --mpi=none`: rank 0 listens, and leaves its
/// addresses with a secret in a file that only its user may read. The file is gone when all have come.
class TcpWorld final : public JobWorld {
public:
    TcpWorld(const TcpPlace& place, std::chrono::milliseconds timeout);
    ~TcpWorld() override;
    TcpWorld(const TcpWorld&) = delete;
    TcpWorld& operator=(const TcpWorld&) = delete;

    [[nodiscard]] Rank rank() const noexcept override { return rank_; }
    [[nodiscard]] Rank size() const noexcept override { return size_; }
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override;
    [[nodiscard]] std::string describe() const override { return "TCP rendezvous, without MPI"; }
    [[nodiscard]] bool all_leave(std::chrono::milliseconds timeout) override;
    [[noreturn]] void abort(int exit_code) noexcept override;
    [[nodiscard]] int orphan_exit_code() const noexcept override { return 1; }  // srun reports the highest of all

private:
    void receive_all(const std::string& file);
    void find_first(const std::string& file);
    [[nodiscard]] std::vector<std::string> gather(const std::string& mine, std::chrono::milliseconds timeout);
    [[nodiscard]] std::string time_text() const;

    std::chrono::milliseconds timeout_;
    Rank rank_;
    Rank size_;
    bool has_left_ = false;
    std::vector<File> lines_;  // of rank 0: by rank; of the others: to rank 0
};

}  // namespace penstock
