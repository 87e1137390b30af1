#include "transports/mpi/mpi_transport.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <mpi.h>

#include "base/clock.hpp"
#include "memory/doorbell.hpp"
#include "transports/mpi/blobs.hpp"
#include "transports/mpi/mpi_handles.hpp"
#include "transports/mpi/peer.hpp"
#include "transports/mpi/requests.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::microseconds shortest_nap = 20us;
constexpr std::chrono::microseconds longest_nap = 1ms;
constexpr std::chrono::seconds parting_timeout = 2s;

[[nodiscard]] Rank size_of(MPI_Comm comm) {
    int size = 0;
    mpi::check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
    return static_cast<Rank>(size);
}

[[nodiscard]] bool is_in_job() {
    int initialized = 0;
    int finalized = 0;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    return initialized != 0 && finalized == 0;
}

class MpiTransport final : public Transport {
public:
    explicit MpiTransport(const Arena& arena)
        : comm_{mpi::duplicate_world()}, state_{std::make_unique<State>(comm_.get(), arena)} {
        completed_.reserve(mpi::Requests::usual);
        capabilities_.max_frame_bytes = largest_frame;
        MpiTransport::use(mpi_thresholds.built_in);
    }
    ~MpiTransport() override;

    [[nodiscard]] std::string_view name() const noexcept override { return "mpi"; }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
    void connect(Rank peer) override;
    void forget(Rank peer) override { state_->losses.forget(peer); }
    [[nodiscard]] std::span<std::byte> reserve(Rank peer, std::size_t bytes) override {
        return state_->peers[peer]->outbox.reserve(bytes);
    }
    void commit(Rank peer) override { state_->peers[peer]->outbox.commit(); }
    void flush() override;
    [[nodiscard]] bool drained() const override;
    std::size_t poll(TransportEvents& events) override;
    void wait(std::chrono::nanoseconds timeout) override;
    void wake() noexcept override;
    [[nodiscard]] int arm(std::chrono::nanoseconds& timeout) override;
    [[nodiscard]] const std::byte* map(const BlobRef&) override { return nullptr; }
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) override;
    [[nodiscard]] Thresholds thresholds() const noexcept override { return state_->thresholds; }
    void use(const Thresholds& thresholds) override;

private:
    struct Peer {
        Peer(MPI_Comm comm, Rank number, mpi::Requests& requests, Losses& losses, const Thresholds& thresholds)
            : rank{number}, outbox{comm, number, requests, thresholds}, inbox{comm, number, requests, losses} {}
        Rank rank;
        mpi::Outbox outbox;
        mpi::Inbox inbox;
    };
    /// What MPI holds addresses into.
    struct State {
        State(MPI_Comm comm, const Arena& arena)
            : losses{size_of(comm)}, blobs{comm, arena, requests, losses}, peers(size_of(comm)) {}
        Thresholds thresholds;
        mpi::Requests requests;
        Losses losses;
        mpi::Blobs blobs;
        std::vector<std::unique_ptr<Peer>> peers;  // by rank; null before `connect`
    };

    std::size_t dispatch(const mpi::Completed& completed, TransportEvents& events);
    [[nodiscard]] bool something_completed();
    [[nodiscard]] bool something_moves() const;
    void lengthen_nap();

    Capabilities capabilities_;
    mpi::Comm comm_;
    std::unique_ptr<State> state_;
    std::vector<Peer*> connected_;
    std::vector<mpi::Completed> completed_;  // and not dispatched: from `next_` on
    std::size_t next_ = 0;
    bool room_made_ = false;
    std::chrono::microseconds nap_ = shortest_nap;
    Doorbell doorbell_;
    std::atomic<bool> woken_{false};
};

MpiTransport::~MpiTransport() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    // A send that never completes still reads its buffer.
    if (finalized != 0 || !state_->requests.shut_down(SteadyClock::now() + parting_timeout)) (void)state_.release();
}

void MpiTransport::connect(Rank rank) {
    auto& peer = state_->peers.at(rank);
    if (peer) return;
    peer = std::make_unique<Peer>(comm_.get(), rank, state_->requests, state_->losses, state_->thresholds);
    connected_.push_back(peer.get());
}

void MpiTransport::flush() {
    for (Peer* peer : connected_) peer->outbox.flush();
}

bool MpiTransport::drained() const {
    return std::all_of(connected_.begin(), connected_.end(), [this](const Peer* peer) {
        return peer->outbox.drained() || state_->losses.is_lost(peer->rank);
    });
}

bool MpiTransport::something_completed() {
    if (next_ == completed_.size()) {
        completed_.clear();
        next_ = 0;
        state_->requests.test(completed_);
    }
    return next_ != completed_.size();
}

std::size_t MpiTransport::poll(TransportEvents& events) {
    (void)something_completed();
    std::size_t count = 0;
    // `next_` moves first: what throws is not dispatched again.
    while (next_ < completed_.size()) count += dispatch(mpi::Completed{completed_[next_++]}, events);
    return count;
}

std::size_t MpiTransport::dispatch(const mpi::Completed& completed, TransportEvents& events) {
    switch (completed.job.kind) {
        case mpi::Job::Kind::frames_in: return state_->peers[completed.job.owner]->inbox.on_arrived(completed, events);
        case mpi::Job::Kind::frames_out:
            if (state_->peers[completed.job.owner]->outbox.on_sent(completed)) room_made_ = true;
            if (completed.error == MPI_SUCCESS) return 0;
            return state_->losses.report(completed.job.owner, mpi::text_of(completed.error), events);
        default: return state_->blobs.on_completed(completed, events);
    }
}

bool MpiTransport::something_moves() const {
    return state_->blobs.busy() ||
           std::any_of(connected_.begin(), connected_.end(), [](const Peer* peer) { return peer->outbox.sending(); });
}

void MpiTransport::wait(std::chrono::nanoseconds timeout) {
    const auto deadline = SteadyClock::now() + timeout;
    while (!woken_.exchange(false, std::memory_order_relaxed) && !std::exchange(room_made_, false)) {
        if (something_completed()) {
            nap_ = shortest_nap;
            return;
        }
        const auto left = deadline - SteadyClock::now();
        if (left <= 0ns) return;
        // Cheaper than `arm`, which fences for others who ring: nobody does, and `wake` needs none.
        doorbell_.word.exchange(Doorbell::asleep, std::memory_order_acq_rel);
        if (!woken_.load(std::memory_order_relaxed)) doorbell_.sleep(std::min<std::chrono::nanoseconds>(nap_, left));
        doorbell_.disarm();
        lengthen_nap();
    }
}

int MpiTransport::arm(std::chrono::nanoseconds& timeout) {
    if (something_completed()) nap_ = shortest_nap;
    timeout = next_ != completed_.size() || std::exchange(room_made_, false)
                  ? 0ns
                  : std::min<std::chrono::nanoseconds>(timeout, nap_);
    lengthen_nap();
    return -1;
}

void MpiTransport::lengthen_nap() {
    // MPI moves long messages only while it is called.
    nap_ = something_moves() ? shortest_nap : std::min(nap_ * 3 / 2, longest_nap);
}

void MpiTransport::wake() noexcept {
    woken_.store(true, std::memory_order_relaxed);
    doorbell_.wake();
}

void MpiTransport::fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) {
    if (blob.owner >= state_->peers.size()) {
        throw Error{Errc::invalid_input, "a blob of rank " + std::to_string(blob.owner) + ", but the last rank is " +
                                             std::to_string(state_->peers.size() - 1)};
    }
    state_->blobs.fetch(blob, into, token);
}

void MpiTransport::use(const Thresholds& thresholds) {
    state_->thresholds = thresholds;
    capabilities_.inline_bytes = thresholds.inline_bytes;
    capabilities_.fetches_in_flight = thresholds.in_flight;
}

}  // namespace

std::string mpi_description() {
    if (!is_in_job()) return {};
    std::string text(MPI_MAX_LIBRARY_VERSION_STRING, '\0');
    int length = 0;
    mpi::check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
    text.resize(static_cast<std::size_t>(length));
    text.resize(std::min(text.find_first_of(",\n"), text.size()));
    std::replace(text.begin(), text.end(), '\t', ' ');
    for (const char* name : {"OMPI_MCA_pml", "OMPI_MCA_mtl", "OMPI_MCA_btl", "MPIR_CVAR_CH4_NETMOD"}) {
        if (const char* value = std::getenv(name)) text.append(", ").append(name).append("=").append(value);
    }
    return text;
}

std::unique_ptr<Transport> make_mpi_transport(const Arena& arena) {
    if (!is_in_job()) return nullptr;
    return std::make_unique<MpiTransport>(arena);
}

}  // namespace penstock
