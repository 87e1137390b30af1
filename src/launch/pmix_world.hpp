#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "launch/job_world.hpp"

namespace penstock {

/// The job this process belongs to by PMIx, as `srun --mpi=pmix` and mpirun offer it: MPI is not initialised. Once in a
/// process's life. What the ranks tell each other goes through the daemons that started them.
class PmixWorld final : public JobWorld {
public:
    explicit PmixWorld(std::chrono::milliseconds timeout);
    ~PmixWorld() override;
    PmixWorld(const PmixWorld&) = delete;
    PmixWorld& operator=(const PmixWorld&) = delete;

    [[nodiscard]] Rank rank() const noexcept override { return rank_; }
    [[nodiscard]] Rank size() const noexcept override { return size_; }
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override;
    [[nodiscard]] std::string describe() const override;
    [[nodiscard]] bool all_leave(std::chrono::milliseconds timeout) override;
    [[noreturn]] void abort(int exit_code) noexcept override;
    [[nodiscard]] int orphan_exit_code() const noexcept override { return 1; }  // srun reports the highest of all

private:
    void put(const std::string& key, const std::string& text);
    /// Waits for all. @throws Error{timed_out}
    void join();
    [[nodiscard]] std::string text_of(Rank rank, const std::string& key) const;

    std::chrono::milliseconds timeout_;
    Rank rank_ = 0;
    Rank size_ = 0;
    std::string job_;
    bool has_left_ = false;
    std::uint64_t calls_ = 0;  ///< Of `allgather`: each has keys of its own.
};

/// Waits until all ranks of the job have come here, if something else in this process, as an MPI, has joined it through
/// PMIx. Nothing is said of a rank that does not come.
void meet_by_pmix(std::chrono::milliseconds timeout);

}  // namespace penstock
