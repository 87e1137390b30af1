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

}  // namespace penstock::doctor
