#include "doctor/job_peers.hpp"

#include <penstock/error.hpp>

#include "launch/mpi_world.hpp"

namespace penstock::doctor {

int measure_job(const PeerOptions& options, const std::function<int(const PeerMatrix&)>& tell) {
    constexpr std::chrono::seconds time_to_start{30};
    constexpr std::chrono::seconds time_to_leave{3};
    if (!MpiWorld::detected()) {
        throw Error{Errc::unsupported,
                    "--peers measures the ranks of an MPI job; start it with 'mpirun -n 4 penstock doctor --peers' or "
                    "'srun --mpi=pmix'"};
    }
    MpiWorld world{time_to_start};
    PeerProbe probe{world, options};
    const PeerMatrix matrix = probe.run();
    if (world.rank() != 0) return 0;
    const int code = tell(matrix);
    // Whoever is stuck would never come to the orderly end of an MPI job.
    if (!matrix.is_complete() && !world.all_leave(time_to_leave)) world.abort(code);
    return code;
}

}  // namespace penstock::doctor
