#include "transports/make.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "transports/interfaces.hpp"
#include "transports/shm/shm_transport.hpp"
#ifdef PENSTOCK_HAS_MPI
#include "transports/mpi/mpi_transport.hpp"
#endif
#ifdef PENSTOCK_HAS_UCX
#include "transports/ucx/ucx_transport.hpp"
#endif
#ifdef PENSTOCK_HAS_OFI
#include "transports/ofi/ofi_transport.hpp"
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

#ifdef PENSTOCK_HAS_OFI
constexpr bool has_ofi = true;
#else
constexpr bool has_ofi = false;
#endif

constexpr std::string_view ucx_remedy = "install UCX (Debian: libucx-dev) and configure with -DPENSTOCK_UCX=ON";
constexpr std::string_view ofi_remedy =
    "install libfabric (Debian: libfabric-dev) and configure with -DPENSTOCK_OFI=ON";
constexpr std::chrono::milliseconds probe_timeout{5000};

/// After what a rank can map, by rank, in what it tells the others.
constexpr char has_efa = 'e';
constexpr char has_no_efa = '-';

#ifdef PENSTOCK_HAS_MPI
constexpr ThresholdRange range_of_mpi = mpi_thresholds;
#else
constexpr ThresholdRange range_of_mpi{};
#endif

#ifdef PENSTOCK_HAS_UCX
constexpr ThresholdRange range_of_ucx = ucx_thresholds;
#else
constexpr ThresholdRange range_of_ucx{};
#endif

#ifdef PENSTOCK_HAS_OFI
constexpr ThresholdRange range_of_ofi = ofi_thresholds;
#else
constexpr ThresholdRange range_of_ofi{};
#endif

/// Whether two ranks can map each other, from what each can map.
[[nodiscard]] bool share_memory(const std::vector<std::string>& reaches, Rank one, Rank other) {
    const auto maps = [&](Rank who, Rank whom) { return reaches[who].size() > whom && reaches[who][whom] == '1'; };
    return maps(one, other) && maps(other, one);
}

[[nodiscard]] bool all_share_memory(const std::vector<std::string>& reaches) {
    const auto ranks = static_cast<Rank>(reaches.size());
    for (Rank one = 0; one < ranks; ++one) {
        for (Rank other = 0; other < one; ++other) {
            if (!share_memory(reaches, one, other)) return false;
        }
    }
    return true;
}

/// Figures over a loopback are others than over a network.
constexpr std::string_view within_a_host = ", within a host";
constexpr std::string_view between_hosts = ", between hosts";

/// What figures of a transport are true for.
[[nodiscard]] std::string measured_for(std::string text, const std::vector<std::string>& reaches) {
    return text.append(all_share_memory(reaches) ? within_a_host : between_hosts);
}

/// What rank 0 tells the others of thresholds; empty for those that are built in, and in other ranks.
[[nodiscard]] std::string answer_of(const MeasuredThresholds& measured, const Bootstrap& bootstrap,
                                    std::string_view transport, const std::string& for_what) {
    const auto found = measured && bootstrap.rank() == 0 ? measured(transport, for_what) : std::nullopt;
    return found ? encode(*found) : std::string{};
}

constexpr char end_of_answer = '\0';

/// Rank 0 does not know yet where the others are: both answers, one after the other.
[[nodiscard]] std::string answers_of_mpi(const MeasuredThresholds& measured, const Bootstrap& bootstrap) {
#ifdef PENSTOCK_HAS_MPI
    const std::string text = measured ? mpi_description() : std::string{};
    if (text.empty()) return {};
    return answer_of(measured, bootstrap, "mpi", std::string{text}.append(within_a_host)) + end_of_answer +
           answer_of(measured, bootstrap, "mpi", std::string{text}.append(between_hosts));
#else
    static_cast<void>(measured);
    static_cast<void>(bootstrap);
    return {};
#endif
}

/// What rank 0 has said when it said what it can map.
[[nodiscard, maybe_unused]] std::string_view answer_of_mpi(const std::vector<std::string>& reaches) {
    const std::string_view answers =
        std::string_view{reaches[0]}.substr(std::min(reaches.size() + 1, reaches[0].size()));
    const std::size_t end = std::min(answers.find(end_of_answer), answers.size());
    if (all_share_memory(reaches)) return answers.substr(0, end);
    return answers.substr(std::min(end + 1, answers.size()));
}

/// Whom a rank tries: the next one without shared memory; if all have it, itself. Of those who share memory, and with
/// it their devices, the first one tries for all, as a connection is not for nothing.
[[nodiscard, maybe_unused]] std::optional<Rank> tried_by(const std::vector<std::string>& reaches, Rank from) {
    const auto ranks = static_cast<Rank>(reaches.size());
    for (Rank before = 0; before < from; ++before) {
        if (share_memory(reaches, from, before)) return std::nullopt;
    }
    for (Rank step = 1; step < ranks; ++step) {
        const Rank other = (from + step) % ranks;
        if (!share_memory(reaches, from, other)) return other;
    }
    return from;
}

/// What was made, and tried; null if it does not work.
struct Tried {
    std::unique_ptr<Transport> transport;
    std::string text;
    std::string why_not;
    std::string measured_for = {};
    std::string thresholds = {};  ///< As rank 0 has said.
};

/// Before what rank 0 says of thresholds, and in all that have no problem.
constexpr char no_problem = '+';

/// Collective. Libraries take every device for a way to everybody. Whether it is, a transfer to another node shows. On
/// one node a transfer to oneself shows that it works at all.
template <class Made>
[[nodiscard, maybe_unused]] Tried try_out(Made made, Bootstrap& bootstrap, const std::vector<std::string>& reaches,
                                          std::string_view remedy, const MeasuredThresholds& measured) {
    if (!made.transport) return {.transport = nullptr, .text = {}, .why_not = std::move(made.why_not)};
    const auto ranks = static_cast<Rank>(reaches.size());
    std::uint64_t others = 0;
    for (Rank rank = 0; rank < ranks; ++rank) others += tried_by(reaches, rank) == bootstrap.rank() ? 1 : 0;
    const std::string for_what = measured_for(made.transport->identity(), reaches);
    std::string mine = made.transport->probe(tried_by(reaches, bootstrap.rank()), others, probe_timeout);
    if (mine.empty()) mine = no_problem + answer_of(measured, bootstrap, made.transport->name(), for_what);
    const auto said = bootstrap.allgather(mine);
    std::string text = made.transport->description();
    for (Rank rank = 0; rank < ranks; ++rank) {
        if (said[rank].starts_with(no_problem)) continue;
        std::string why = "rank " + std::to_string(rank) + " does not get through to rank " +
                          std::to_string(tried_by(reaches, rank).value_or(rank)) + " (" + said[rank] + ") with " +
                          text + "; ";
        return {.transport = nullptr, .text = {}, .why_not = why.append(remedy)};
    }
    return {.transport = std::move(made.transport),
            .text = std::move(text),
            .why_not = {},
            .measured_for = for_what,
            .thresholds = said[0].substr(1)};
}

#ifdef PENSTOCK_HAS_UCX
Tried try_ucx(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string>& reaches,
              const MeasuredThresholds& measured) {
    return try_out(make_ucx_transport(bootstrap, arena), bootstrap, reaches,
                   "name the device that joins the nodes in UCX_NET_DEVICES, and leave TCP or RDMA in UCX_TLS",
                   measured);
}
#else
Tried try_ucx(Bootstrap&, Arena&, const std::vector<std::string>&, const MeasuredThresholds&) {
    return {.transport = nullptr, .text = {}, .why_not = std::string{"it is not in this build; "}.append(ucx_remedy)};
}
#endif

#ifdef PENSTOCK_HAS_OFI
Tried try_ofi(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string>& reaches,
              const MeasuredThresholds& measured) {
    constexpr std::string_view remedy =
        "name the device that joins the nodes in PENSTOCK_OFI_DOMAIN, or another provider in PENSTOCK_OFI_PROVIDER";
    OfiResult made = make_ofi_transport(bootstrap, arena);
    const bool has_rails = made.transport && made.transport->rails() > 1;
    Tried tried = try_out(std::move(made), bootstrap, reaches, remedy, measured);
    if (tried.transport || !has_rails) return tried;
    // Devices that look alike may be on networks of their own.
    ofi::Wishes one_rail = ofi::Wishes::of_environment();
    one_rail.rails = "1";
    Tried again = try_out(make_ofi_transport(bootstrap, arena, ofi::Limits::of_environment(), one_rail), bootstrap,
                          reaches, remedy, measured);
    if (again.transport) again.text += " (one rail: " + tried.why_not + ")";
    return again;
}
#else
Tried try_ofi(Bootstrap&, Arena&, const std::vector<std::string>&, const MeasuredThresholds&) {
    return {.transport = nullptr, .text = {}, .why_not = std::string{"it is not in this build; "}.append(ofi_remedy)};
}
#endif

}  // namespace

TransportSet::TransportSet(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string_view>& wanted,
                           const MeasuredThresholds& measured) {
    auto shm = std::make_unique<ShmTransport>(bootstrap, arena);
    // Shared memory is used where both sides can map each other; what each can map, everybody learns.
    std::string reach(bootstrap.size(), '0');
    for (Rank rank = 0; rank < bootstrap.size(); ++rank) {
        if (shm->reaches(rank)) reach[rank] = '1';
    }
    reach += has_efa_device("/sys/class") ? has_efa : has_no_efa;
    if (bootstrap.rank() == 0) reach += answers_of_mpi(measured, bootstrap);
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
    add_far(bootstrap, arena, reaches, wanted, measured);
    add_mpi(arena, reaches);
}

#ifdef PENSTOCK_HAS_MPI
void TransportSet::add_mpi(Arena& arena, const std::vector<std::string>& reaches) {
    auto mpi = make_mpi_transport(arena);
    if (!mpi) return;
    mpi_ = mpi.get();
    transports_.push_back(std::move(mpi));
    use_thresholds(*mpi_, measured_for(mpi_description(), reaches), answer_of_mpi(reaches));
}
#else
void TransportSet::add_mpi(Arena&, const std::vector<std::string>&) {}
#endif

void TransportSet::use_thresholds(Transport& transport, std::string measured_for, std::string_view answer) {
    const auto told = decode_thresholds(answer);
    if (!answer.empty() && !told) throw Error{Errc::internal, "rank 0 told thresholds in a way that is not ours"};
    if (told) transport.use(*told);
    thresholds_.push_back({.transport = std::string{transport.name()},
                           .measured_for = std::move(measured_for),
                           .thresholds = transport.thresholds(),
                           .is_measured = told.has_value()});
}

TransportSet::TransportSet(std::unique_ptr<Transport> only, Rank ranks) : shm_{only.get()}, no_shm_(ranks) {
    transports_.push_back(std::move(only));
}

void TransportSet::add_far(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string>& reaches,
                           const std::vector<std::string_view>& wanted, const MeasuredThresholds& measured) {
    using Try = Tried (*)(Bootstrap&, Arena&, const std::vector<std::string>&, const MeasuredThresholds&);
    std::vector<std::pair<std::string_view, Try>> order{{"ucx", &try_ucx}, {"ofi", &try_ofi}};
    // UCX as distributions have it does not know EFA, and takes TCP there.
    const bool all_have_efa = std::all_of(reaches.begin(), reaches.end(), [&](const std::string& reach) {
        return reach.size() > reaches.size() && reach[reaches.size()] == has_efa;
    });
    if (all_have_efa) std::reverse(order.begin(), order.end());
    bool needed = !all_share_memory(reaches);
    for (const auto& [name, make] : order) {
        Far& far = far_.emplace_back(Far{.name = name, .transport = nullptr, .text = {}, .why_not = {}});
        if (!needed && std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
        Tried tried = make(bootstrap, arena, reaches, measured);
        far.text = std::move(tried.text);
        far.why_not = std::move(tried.why_not);
        far.transport = tried.transport.get();
        if (!tried.transport) continue;
        transports_.push_back(std::move(tried.transport));
        use_thresholds(*far.transport, std::move(tried.measured_for), tried.thresholds);
        needed = false;  // one that leads everywhere is enough
    }
}

const TransportSet::Far* TransportSet::far(std::string_view name) const noexcept {
    const auto found = std::find_if(far_.begin(), far_.end(), [name](const Far& far) { return far.name == name; });
    return found == far_.end() ? nullptr : &*found;
}

std::vector<std::string> TransportSet::notes() const {
    std::vector<std::string> notes;
    for (const Far& far : far_) {
        const bool is_built = far.name == "ucx" ? has_ucx : has_ofi;
        const std::string what = std::string{"Transport "}.append(far.name);
        if (far.transport != nullptr) notes.push_back(what + ": " + far.text);
        if (is_built && !far.why_not.empty()) notes.push_back(what + " is not used: " + far.why_not);
    }
    return notes;
}

TransportSet::Choice TransportSet::choose(Rank peer, std::string_view wanted) const {
    const std::string& no_shm = no_shm_[peer];
    const Far* asked_for = far(wanted);
    const bool by_name = asked_for != nullptr || wanted == "mpi";
    if (!by_name && no_shm.empty()) return {shm_, "its memory is mapped here: same node"};
    if (wanted == "shm") {
        throw Error{Errc::unsupported, "transport 'shm' does not reach rank " + std::to_string(peer) + ": " + no_shm +
                                           "; use '--transport auto'"};
    }
    const std::string why = by_name ? "asked for" : "no shared memory: " + no_shm;
    std::string no_far;
    for (const Far& far : far_) {
        if (by_name && asked_for != &far) continue;
        if (far.transport != nullptr) return {far.transport, why + "; " + far.text};
        no_far.append("; no ").append(far.name).append(": ").append(far.why_not);
    }
    if (asked_for != nullptr) {
        throw Error{Errc::unsupported,
                    "transport '" + std::string{wanted} + "' does not work here: " + asked_for->why_not};
    }
    if (mpi_ != nullptr) return {mpi_, why};
    if (!has_mpi) {
        throw Error{Errc::unsupported,
                    "transport 'mpi' is not in this build; install an MPI and configure with -DPENSTOCK_MPI=ON"};
    }
    throw Error{Errc::unsupported,
                wanted == "mpi"
                    ? std::string{"transport 'mpi' needs an MPI job; start the run with mpirun or srun"}
                    : "no transport reaches rank " + std::to_string(peer) + ": no shared memory: " + no_shm + no_far};
}

std::vector<TransportInfo> known_transports() {
#ifdef PENSTOCK_HAS_OFI
    ofi::Here ofi_here = ofi::here();
#else
    struct {
        std::string text;
        std::optional<bool> device_memory;
    } ofi_here;
#endif
    return {
        {.name = "shm",
         .built = true,
         .use = "processes on one node: payloads by reference in shared memory, the default there",
         .remedy = "",
         .here = ""},
        {.name = "ucx",
         .built = has_ucx,
         .use = "processes on different nodes, over InfiniBand, RoCE or TCP; the default there where it works",
         .remedy = has_ucx ? "" : ucx_remedy,
         .here = ""},
        {.name = "ofi",
         .built = has_ofi,
         .use = "processes on different nodes, over what libfabric knows; the default there where there is EFA",
         .remedy = has_ofi ? "" : ofi_remedy,
         .here = std::move(ofi_here.text),
         .device_memory = ofi_here.device_memory},
        {.name = "mpi",
         .built = has_mpi,
         .use = "processes on different nodes, over whatever the site's MPI runs on; runs started with mpirun or srun",
         .remedy = has_mpi ? "" : "install an MPI (Debian: libopenmpi-dev) and configure with -DPENSTOCK_MPI=ON",
         .here = ""}};
}

const ThresholdRange* threshold_range(std::string_view transport) noexcept {
    if (transport == "ucx") return &range_of_ucx;
    if (transport == "ofi") return &range_of_ofi;
    return transport == "mpi" ? &range_of_mpi : nullptr;
}

}  // namespace penstock
