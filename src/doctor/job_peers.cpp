#include "doctor/job_peers.hpp"

#include <algorithm>
#include <utility>

#include <penstock/error.hpp>

#include "launch/job_launch.hpp"
#include "launch/job_world.hpp"
#include "launch/process_identity.hpp"

namespace penstock::doctor {

int measure_job(Launch launch, const std::string& folder, const PeerOptions& options,
                const std::function<std::string()>& examine, const std::function<int(const JobAnswer&)>& tell) {
    constexpr std::chrono::seconds time_to_start{30};
    constexpr std::chrono::seconds time_to_leave{3};
    launch = resolved(launch);
    if (launch == Launch::local) {
        throw Error{Errc::unsupported,
                    "--peers measures the ranks of a job; start it with 'mpirun -n 4 penstock doctor --peers' or "
                    "'srun --mpi=pmix', or say with --launch how its ranks meet"};
    }
    const auto joined = join_job(launch, time_to_start, folder);
    JobWorld& world = *joined;
    const auto hosts = world.allgather(host_name());
    const auto first = static_cast<Rank>(std::find(hosts.begin(), hosts.end(), hosts[world.rank()]) - hosts.begin());
    auto nodes = world.allgather(first == world.rank() ? examine() : "");
    std::erase(nodes, "");
    PeerProbe probe{world, options};
    const JobAnswer answer{.matrix = probe.run(), .nodes = std::move(nodes)};
    if (world.rank() != 0) return 0;
    const int code = tell(answer);
    // Whoever is stuck would never come to the orderly end of an MPI job.
    if (!answer.matrix.is_complete() && !world.all_leave(time_to_leave)) world.abort(code);
    return code;
}

int tune_job(const TuningOptions& options, const std::function<int(const TuningAnswer&)>& tell) {
    const Launch launch = resolved(Launch::automatic);
    if (launch == Launch::local) {
        throw Error{Errc::unsupported,
                    "tune measures between the ranks of a job; start it with 'mpirun -n 2 penstock tune' or "
                    "'srun -N 2 --mpi=pmix', best on two hosts"};
    }
    // Ranks that do not measure wait for those that do.
    const auto longest =
        std::chrono::duration_cast<std::chrono::milliseconds>(3 * options.time + 20 * options.patience);
    const auto joined = join_job(launch, longest, {});
    JobWorld& world = *joined;
    const TuningAnswer answer = tune(world, options);
    return world.rank() == 0 ? tell(answer) : 0;
}

}  // namespace penstock::doctor
