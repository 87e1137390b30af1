#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/job_world.hpp"

namespace penstock {

/// The MPI job this process belongs to. MPI is initialised while it lives, and only once in a process's life; the
/// thread that creates it is the one that may use MPI. MPI's own errors end the job, as MPI does by default.
///
/// Going away it waits until every rank has come that far. When an exception drives it away it waits for a second only,
/// and when a rank did not answer in time not at all: it then leaves without ending MPI, and the job's launcher, which
/// sees that, ends the other ranks.
class MpiWorld final : public JobWorld {
public:
    /// @param timeout  For each collective call, until all ranks have joined in.
    explicit MpiWorld(std::chrono::milliseconds timeout = std::chrono::seconds{60});
    ~MpiWorld() override;
    MpiWorld(const MpiWorld&) = delete;
    MpiWorld& operator=(const MpiWorld&) = delete;

    /// True if the environment says that an MPI launcher started this process.
    [[nodiscard]] static bool detected() noexcept;

    [[nodiscard]] Rank rank() const noexcept override { return rank_; }
    [[nodiscard]] Rank size() const noexcept override { return size_; }
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override;

    /// Which MPI this is, what threads may do, and which of its message layers it runs on.
    [[nodiscard]] std::string describe() const override;

    void split(int colour) override;
    /// REQUIRES: `split` was called.
    [[nodiscard]] std::optional<int> stage_communicator() const noexcept override;
    [[nodiscard]] bool all_leave(std::chrono::milliseconds timeout) override;
    [[noreturn]] void abort(int exit_code) noexcept override;

private:
    struct State;

    template <class Done>
    [[nodiscard]] bool nap_until(std::chrono::steady_clock::time_point deadline, Done&& done) const;
    [[nodiscard]] bool leave(std::chrono::steady_clock::time_point deadline);
    void collect(std::vector<std::string>& all);
    void send_to_first(const std::string& mine);
    void broadcast(std::vector<std::string>& all);

    std::unique_ptr<State> state_;
    std::chrono::milliseconds timeout_;
    std::chrono::microseconds longest_nap_{};
    Rank rank_;
    Rank size_;
};

}  // namespace penstock
