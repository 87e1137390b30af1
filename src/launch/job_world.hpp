#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include <penstock/runtime.hpp>

#include "transports/transport.hpp"

namespace penstock {

/// The job this process is one rank of: how its ranks find each other, and how it ends. Going away, without a failure,
/// it waits until every rank has come that far: a rank that is gone before would be missed by the others.
class JobWorld : public Bootstrap {
public:
    /// For the log: what brought the ranks together.
    [[nodiscard]] virtual std::string describe() const = 0;
    /// Groups the ranks by colour, ordered by rank. Collective.
    virtual void split(int /*colour*/) {}
    /// The communicator of this rank's colour, as MPI_Comm_f2c takes it; nothing where there is no MPI.
    [[nodiscard]] virtual std::optional<int> stage_communicator() const noexcept { return std::nullopt; }
    /// After a failure: waits until every rank goes away. @return false if some have not come that far in time.
    [[nodiscard]] virtual bool all_leave(std::chrono::milliseconds timeout) = 0;
    /// Ends all ranks of the job.
    [[noreturn]] virtual void abort(int exit_code) noexcept = 0;
    /// The exit code of a rank that finds rank 0 gone. Of all codes of a job its starter reports one.
    [[nodiscard]] virtual int orphan_exit_code() const noexcept { return exit_code(Errc::disconnected); }

protected:
    /// How long a failing rank waits for the others to fail alike, which makes for an orderly end.
    static constexpr std::chrono::seconds failing_together{1};

    /// An exception drives this object away.
    [[nodiscard]] bool is_failing() const noexcept { return std::uncaught_exceptions() > exceptions_at_start_; }

private:
    int exceptions_at_start_ = std::uncaught_exceptions();
};

/// @param timeout  For each collective call, until all ranks have joined in.
/// @throws Error{unsupported} if this build, or the environment, has no such thing.
[[nodiscard]] std::unique_ptr<JobWorld> join_mpi_job(std::chrono::milliseconds timeout);
[[nodiscard]] std::unique_ptr<JobWorld> join_pmix_job(std::chrono::milliseconds timeout);
/// @param folder  All ranks see it: there rank 0 leaves word where it is.
[[nodiscard]] std::unique_ptr<JobWorld> join_tcp_job(std::chrono::milliseconds timeout, const std::string& folder);

/// The one of them that leads there. @param folder  Of a job over TCP. REQUIRES: not `local`, nor `automatic`.
[[nodiscard]] std::unique_ptr<JobWorld> join_job(Launch launch, std::chrono::milliseconds timeout,
                                                 const std::string& folder);

/// What this build has.
[[nodiscard]] bool has_mpi() noexcept;
[[nodiscard]] bool has_pmix() noexcept;

}  // namespace penstock
