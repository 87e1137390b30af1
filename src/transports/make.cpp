#include "transports/make.hpp"

#include "transports/shm/shm_transport.hpp"
#ifdef PENSTOCK_HAS_MPI
#include "transports/mpi/mpi_transport.hpp"
#endif

namespace penstock {
namespace {

#ifdef PENSTOCK_HAS_MPI
constexpr bool has_mpi = true;
#else
constexpr bool has_mpi = false;
#endif

}  // namespace

TransportSet::TransportSet(Bootstrap& bootstrap, Arena& arena) {
    auto shm = std::make_unique<ShmTransport>(bootstrap, arena);
    // Shared memory is used where both sides can map each other; what each can map, everybody learns.
    std::string reach(bootstrap.size(), '0');
    for (Rank rank = 0; rank < bootstrap.size(); ++rank) {
        if (shm->reaches(rank)) reach[rank] = '1';
    }
    const auto reaches = bootstrap.allgather(reach);
    for (Rank rank = 0; rank < bootstrap.size(); ++rank) {
        std::string why = shm->why_not(rank);
        const std::string& theirs = reaches[rank];
        if (why.empty() && (theirs.size() <= bootstrap.rank() || theirs[bootstrap.rank()] != '1')) {
            why = "it cannot map our memory";
        }
        no_shm_.push_back(std::move(why));
    }
    shm_ = shm.get();
    transports_.push_back(std::move(shm));
#ifdef PENSTOCK_HAS_MPI
    if (auto mpi = make_mpi_transport(arena)) {
        mpi_ = mpi.get();
        transports_.push_back(std::move(mpi));
    }
#endif
}

TransportSet::TransportSet(std::unique_ptr<Transport> only, Rank ranks) : shm_{only.get()}, no_shm_(ranks) {
    transports_.push_back(std::move(only));
}

TransportSet::Choice TransportSet::choose(Rank peer, std::string_view wanted) const {
    const std::string& no_shm = no_shm_[peer];
    if (wanted != "mpi" && no_shm.empty()) return {shm_, "its memory is mapped here: same node"};
    if (wanted == "shm") {
        throw Error{Errc::unsupported, "transport 'shm' does not reach rank " + std::to_string(peer) + ": " + no_shm +
                                           "; use '--transport auto'"};
    }
    if (mpi_ != nullptr) return {mpi_, wanted == "mpi" ? "asked for" : "no shared memory: " + no_shm};
    if (!has_mpi) {
        throw Error{Errc::unsupported,
                    "transport 'mpi' is not in this build; install an MPI and configure with -DPENSTOCK_MPI=ON"};
    }
    throw Error{Errc::unsupported,
                wanted == "mpi" ? std::string{"transport 'mpi' needs an MPI job; start the run with mpirun or srun"}
                                : "no transport reaches rank " + std::to_string(peer) + ": " + no_shm};
}

std::vector<TransportInfo> known_transports() {
    return {
        {.name = "shm",
         .built = true,
         .use = "processes on one node: payloads by reference in shared memory, the default there",
         .remedy = ""},
        {.name = "mpi",
         .built = has_mpi,
         .use = "processes on different nodes, over whatever the site's MPI runs on; runs started with mpirun or srun",
         .remedy = has_mpi ? "" : "install an MPI (Debian: libopenmpi-dev) and configure with -DPENSTOCK_MPI=ON"}};
}

}  // namespace penstock
