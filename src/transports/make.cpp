#include "transports/make.hpp"

#include <algorithm>
#include <chrono>

#include "transports/shm/shm_transport.hpp"
#ifdef PENSTOCK_HAS_MPI
#include "transports/mpi/mpi_transport.hpp"
#endif
#ifdef PENSTOCK_HAS_UCX
#include "transports/ucx/ucx_transport.hpp"
#endif

namespace penstock {
namespace {

#ifdef PENSTOCK_HAS_MPI
constexpr bool has_mpi = true;
#else
constexpr bool has_mpi = false;
#endif

#ifdef PENSTOCK_HAS_UCX
constexpr bool has_ucx = true;
#else
constexpr bool has_ucx = false;
#endif

constexpr std::string_view ucx_remedy = "install UCX (Debian: libucx-dev) and configure with -DPENSTOCK_UCX=ON";

/// Whether two ranks can map each other, from what each can map.
[[nodiscard, maybe_unused]] bool share_memory(const std::vector<std::string>& reaches, Rank one, Rank other) {
    const auto maps = [&](Rank who, Rank whom) { return reaches[who].size() > whom && reaches[who][whom] == '1'; };
    return maps(one, other) && maps(other, one);
}

/// The next rank without shared memory; if all have it, the rank itself.
[[nodiscard, maybe_unused]] Rank far_rank(const std::vector<std::string>& reaches, Rank from) {
    const auto ranks = static_cast<Rank>(reaches.size());
    for (Rank step = 1; step < ranks; ++step) {
        const Rank other = (from + step) % ranks;
        if (!share_memory(reaches, from, other)) return other;
    }
    return from;
}

}  // namespace

TransportSet::TransportSet(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string_view>& wanted) {
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
    add_ucx(bootstrap, arena, reaches, std::find(wanted.begin(), wanted.end(), "ucx") != wanted.end());
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

#ifdef PENSTOCK_HAS_UCX
void TransportSet::add_ucx(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string>& reaches, bool wanted) {
    constexpr std::chrono::milliseconds probe_timeout{5000};
    const auto ranks = static_cast<Rank>(reaches.size());
    bool needed = wanted;
    for (Rank one = 0; one < ranks; ++one) {
        for (Rank other = 0; other < one; ++other) needed = needed || !share_memory(reaches, one, other);
    }
    if (!needed) return;
    auto made = make_ucx_transport(bootstrap, arena);
    no_ucx_ = std::move(made.why_not);
    if (!made.transport) return;
    // UCX takes every device for a way to everybody. Whether it is, a transfer to another node shows. On one node a
    // transfer to oneself shows that it works at all.
    std::uint64_t others = 0;
    for (Rank rank = 0; rank < ranks; ++rank) others += far_rank(reaches, rank) == bootstrap.rank() ? 1 : 0;
    const Rank far = far_rank(reaches, bootstrap.rank());
    const auto problems = bootstrap.allgather(made.transport->probe(far, others, probe_timeout));
    for (Rank rank = 0; rank < ranks && no_ucx_.empty(); ++rank) {
        if (problems[rank].empty()) continue;
        no_ucx_ = "rank " + std::to_string(rank) + " does not get through to rank " +
                  std::to_string(far_rank(reaches, rank)) + " (" + problems[rank] + ") with " +
                  made.transport->description() +
                  "; name the device that joins the nodes in UCX_NET_DEVICES, and leave TCP or RDMA in UCX_TLS";
    }
    if (!no_ucx_.empty()) return;
    ucx_text_ = made.transport->description();
    ucx_ = made.transport.get();
    transports_.push_back(std::move(made.transport));
}
#else
void TransportSet::add_ucx(Bootstrap&, Arena&, const std::vector<std::string>&, bool) {
    no_ucx_ = std::string{"it is not in this build; "}.append(ucx_remedy);
}
#endif

std::vector<std::string> TransportSet::notes() const {
    if (ucx_ != nullptr) return {"Transport ucx: " + ucx_text_};
    if (has_ucx && !no_ucx_.empty()) return {"Transport ucx is not used: " + no_ucx_};
    return {};
}

TransportSet::Choice TransportSet::choose(Rank peer, std::string_view wanted) const {
    const std::string& no_shm = no_shm_[peer];
    const bool by_name = wanted == "ucx" || wanted == "mpi";
    if (!by_name && no_shm.empty()) return {shm_, "its memory is mapped here: same node"};
    if (wanted == "shm") {
        throw Error{Errc::unsupported, "transport 'shm' does not reach rank " + std::to_string(peer) + ": " + no_shm +
                                           "; use '--transport auto'"};
    }
    const std::string why = by_name ? "asked for" : "no shared memory: " + no_shm;
    if (wanted != "mpi" && ucx_ != nullptr) return {ucx_, why + "; " + ucx_text_};
    if (wanted == "ucx") throw Error{Errc::unsupported, "transport 'ucx' does not work here: " + no_ucx_};
    if (mpi_ != nullptr) return {mpi_, why};
    if (!has_mpi) {
        throw Error{Errc::unsupported,
                    "transport 'mpi' is not in this build; install an MPI and configure with -DPENSTOCK_MPI=ON"};
    }
    throw Error{Errc::unsupported,
                wanted == "mpi" ? std::string{"transport 'mpi' needs an MPI job; start the run with mpirun or srun"}
                                : "no transport reaches rank " + std::to_string(peer) +
                                      ": no shared memory: " + no_shm + "; no ucx: " + no_ucx_};
}

std::vector<TransportInfo> known_transports() {
    return {
        {.name = "shm",
         .built = true,
         .use = "processes on one node: payloads by reference in shared memory, the default there",
         .remedy = ""},
        {.name = "ucx",
         .built = has_ucx,
         .use = "processes on different nodes, over InfiniBand, RoCE or TCP; the default there where it works",
         .remedy = has_ucx ? "" : ucx_remedy},
        {.name = "mpi",
         .built = has_mpi,
         .use = "processes on different nodes, over whatever the site's MPI runs on; runs started with mpirun or srun",
         .remedy = has_mpi ? "" : "install an MPI (Debian: libopenmpi-dev) and configure with -DPENSTOCK_MPI=ON"}};
}

}  // namespace penstock
