#include "transports/ucx/ucx_transport.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/clock.hpp"
#include "transports/interfaces.hpp"
#include "transports/sleeper.hpp"
#include "transports/trial.hpp"
#include "transports/ucx/blobs.hpp"
#include "transports/ucx/devices.hpp"
#include "transports/ucx/handles.hpp"
#include "transports/ucx/peer.hpp"
#include "transports/ucx/wire.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ucx::Kind;
using State = ucx::Peer::State;

constexpr std::chrono::milliseconds parting_timeout = 500ms;
/// A goodbye may come over another connection than the one that ends; and where the coordinator sees the processes, it
/// is to say how this one ended before its peers say that they miss it.
constexpr std::chrono::milliseconds goodbye_timeout = 500ms;
constexpr std::size_t probe_bytes = 64U << 10U;  // more than fits into one message

/// What a process must have before it can say how it is reached.
struct Open {
    std::string devices;
    std::string identity;
    ucx::Context context;
    ucx::RegisteredMemory memory;
    ucx::Worker worker;
};

[[nodiscard]] std::string version_text() {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    ucp_get_version(&major, &minor, &release);
    return "UCX " + std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

/// " (mlx5_0, mlx5_1)", or nothing.
[[nodiscard]] std::string rdma_devices() {
    std::vector<std::string> names;
    std::error_code none;
    for (std::filesystem::directory_iterator at{"/sys/class/infiniband", none}, end; !none && at != end;
         at.increment(none)) {
        names.push_back(at->path().filename().string());
    }
    std::sort(names.begin(), names.end());
    std::string text;
    for (const std::string& name : names) text.append(text.empty() ? " (" : ", ").append(name);
    return names.empty() ? text : text + ")";
}

[[nodiscard]] std::string text_of(const ucx::Devices& devices) {
    const char* asked_for = std::getenv("UCX_NET_DEVICES");
    if (asked_for != nullptr) return std::string{"UCX_NET_DEVICES="} + asked_for;
    if (devices.use.empty()) return "all devices" + rdma_devices();
    std::string text = "devices " + devices.use;
    if (!devices.bridges.empty()) text += ", not the bridge";
    for (const std::string& bridge : devices.bridges) text += " " + bridge;
    return text + " (UCX_NET_DEVICES is not set)";
}

/// Bridges come and go with containers, and change nothing.
[[nodiscard]] std::string text_of_network() {
    const char* asked_for = std::getenv("UCX_NET_DEVICES");
    if (asked_for != nullptr) return std::string{"UCX_NET_DEVICES="} + asked_for;
    const std::string names = rdma_devices();
    return names.empty() ? "TCP" : "RDMA" + names;
}

[[nodiscard]] std::string text_of_settings() {
    const char* transports = std::getenv("UCX_TLS");
    return transports == nullptr ? "" : std::string{", UCX_TLS="} + transports;
}

[[nodiscard]] Open open_ucx(const Arena& arena) {
    Open open;
    const auto devices = ucx::choose_devices(usable_interfaces(), "/sys/class", std::getenv("UCX_NET_DEVICES"));
    open.devices = text_of(devices) + text_of_settings();
    open.identity = version_text() + ", " + text_of_network() + text_of_settings();
    open.context = ucx::make_context(devices.use);
    open.memory = ucx::register_memory(open.context, arena.base(), arena.limit_bytes());
    open.worker = ucx::make_worker(open.context);
    return open;
}

class UcxWorker final : public UcxTransport {
public:
    UcxWorker(Open open, Arena& arena, Rank self, std::uint64_t run, const std::vector<std::string>& addresses);
    ~UcxWorker() override;

    [[nodiscard]] std::string_view name() const noexcept override { return "ucx"; }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
    [[nodiscard]] const std::string& description() const noexcept override { return description_; }
    [[nodiscard]] const std::string& identity() const noexcept override { return identity_; }
    [[nodiscard]] std::string probe(std::optional<Rank> rank, std::uint64_t others,
                                    std::chrono::milliseconds timeout) override;
    void connect(Rank peer) override;
    void forget(Rank peer) override;
    [[nodiscard]] std::span<std::byte> reserve(Rank peer, std::size_t bytes) override {
        return peers_[peer]->reserve(bytes);
    }
    void commit(Rank peer) override { peers_[peer]->commit(); }
    void flush() override;
    [[nodiscard]] bool drained() const override;
    std::size_t poll(TransportEvents& events) override;
    void wait(std::chrono::nanoseconds timeout) override;
    void wake() noexcept override { sleeper_.wake(); }
    [[nodiscard]] int arm(std::chrono::nanoseconds& timeout) override;
    [[nodiscard]] const std::byte* map(const BlobRef&) override { return nullptr; }
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) override;
    [[nodiscard]] Thresholds thresholds() const noexcept override { return wire_->thresholds(); }
    void use(const Thresholds& thresholds) override;

private:
    std::size_t dispatch(const ucx::Event& event, TransportEvents& events);
    std::size_t on_frames(ucx::Peer& peer, const ucx::Event& event, TransportEvents& events);
    std::size_t deliver(ucx::Peer& peer, TransportEvents& events);
    void on_broken(ucx::Peer& peer, ucs_status_t status);
    void on_goodbye(ucx::Peer& peer);
    std::size_t lose(ucx::Peer& peer, const std::string& reason, TransportEvents& events);
    std::size_t report_suspects(TransportEvents& events);
    [[nodiscard]] bool something_waits();
    [[nodiscard]] int arm_worker(std::chrono::nanoseconds& timeout);
    void part() noexcept;

    Capabilities capabilities_;
    std::string description_;
    std::string identity_;
    Arena& arena_;
    ucx::Context context_;
    ucx::RegisteredMemory memory_;
    Sleeper sleeper_;
    // What UCX holds addresses into outlives the worker.
    std::unique_ptr<ucx::Wire> wire_;
    ucx::Blobs::Peers peers_;  // by rank
    std::unique_ptr<ucx::Blobs> blobs_;
    ucx::Worker worker_;
    int worker_fd_ = -1;
    std::vector<ucx::Peer*> connected_;
    std::vector<ucx::Peer*> newly_connected_;
    std::vector<ucx::Peer*> suspects_;
    bool heard_ = false;  // from a peer, since the last wait: there may be room now, or nothing left to be read
};

UcxWorker::UcxWorker(Open open, Arena& arena, Rank self, std::uint64_t run, const std::vector<std::string>& addresses)
    : description_{version_text() + ", " + open.devices},
      identity_{std::move(open.identity)},
      arena_{arena},
      context_{std::move(open.context)},
      memory_{std::move(open.memory)},
      worker_{std::move(open.worker)} {
    const auto ranks = static_cast<Rank>(addresses.size());
    wire_ = std::make_unique<ucx::Wire>(worker_.get(), run, self, ranks);
    for (Rank rank = 0; rank < ranks; ++rank) {
        peers_.push_back(std::make_unique<ucx::Peer>(*wire_, rank, addresses[rank]));
    }
    blobs_ = std::make_unique<ucx::Blobs>(*wire_, arena, memory_.get().memory, peers_);
    const bool can_sleep = ucp_worker_get_efd(worker_.get(), &worker_fd_) == UCS_OK;
    capabilities_ = {.maps = false,
                     // UCX reads by itself where the device can; it does not say where, so the owner is asked always.
                     .native_read = false,
                     .device_memory = ucx::takes_device_memory(context_),
                     .can_block = can_sleep,
                     .max_frame_bytes = largest_frame};
    UcxWorker::use(ucx_thresholds.built_in);
}

void UcxWorker::use(const Thresholds& thresholds) {
    wire_->use(thresholds);
    capabilities_.inline_bytes = thresholds.inline_bytes;
    capabilities_.fetches_in_flight = thresholds.in_flight;
}

UcxWorker::~UcxWorker() {
    part();
    for (const auto& peer : peers_) peer->endpoint.abandon();
    // Completes what was given up, while its memory is still there.
    for (const auto& peer : peers_) peer->leave(State::lost);
    ucx::Event event{};
    while (wire_->take(event)) {
        if (event.data != nullptr) wire_->release(event.data);
    }
    wire_->progress();
    while (wire_->take(event)) {
        if (event.data != nullptr) wire_->release(event.data);
    }
}

/// Says goodbye to all, so that nobody takes the end of a connection for a failure.
void UcxWorker::part() noexcept {
    std::vector<ucs_status_ptr_t> closing;
    try {
        for (const auto& peer : peers_) peer->say_goodbye();
        for (const auto& peer : peers_) {
            if (peer->state != State::here) continue;
            const ucs_status_ptr_t request = peer->endpoint.close();
            if (UCS_PTR_IS_PTR(request)) closing.push_back(request);
        }
    } catch (const std::exception&) {
        // Without memory for it the others hear from the kernel.
    }
    const auto deadline = SteadyClock::now() + parting_timeout;
    const auto is_closed = [](ucs_status_ptr_t request) { return ucp_request_check_status(request) != UCS_INPROGRESS; };
    while (!std::all_of(closing.begin(), closing.end(), is_closed) && SteadyClock::now() < deadline) {
        if (ucp_worker_progress(worker_.get()) != 0) continue;
        std::chrono::nanoseconds nap = 1ms;
        const int descriptor = arm_worker(nap);
        if (nap > 0ns) sleeper_.sleep(nap, {&descriptor, 1});
    }
    for (const ucs_status_ptr_t request : closing) ucp_request_free(request);
}

void UcxWorker::connect(Rank rank) {
    ucx::Peer& peer = *peers_.at(rank);
    if (peer.connected()) return;
    peer.connect();
    connected_.push_back(&peer);
    newly_connected_.push_back(&peer);  // something may have come before
}

void UcxWorker::forget(Rank rank) {
    ucx::Peer& peer = *peers_[rank];
    if (peer.gone()) return;
    peer.leave(State::lost);
    peer.endpoint.abandon();
    blobs_->give_up(rank, "its owner is gone");
}

void UcxWorker::flush() {
    for (ucx::Peer* peer : connected_) peer->flush();
}

bool UcxWorker::drained() const {
    return std::all_of(connected_.begin(), connected_.end(), [](const ucx::Peer* peer) { return peer->drained(); });
}

std::size_t UcxWorker::poll(TransportEvents& events) {
    wire_->progress();
    std::size_t count = 0;
    ucx::Event event{};
    while (wire_->take(event)) count += dispatch(event, events);
    while (!newly_connected_.empty()) {
        ucx::Peer& peer = *newly_connected_.back();
        newly_connected_.pop_back();
        count += deliver(peer, events);
    }
    count += blobs_->deliver(events);
    if (!suspects_.empty()) count += report_suspects(events);
    const auto occasion = count != 0 ? ucx::Peer::Occasion::busy : ucx::Peer::Occasion::idle;
    for (ucx::Peer* peer : connected_) peer->acknowledge(occasion);
    return count;
}

std::size_t UcxWorker::dispatch(const ucx::Event& event, TransportEvents& events) {
    ucx::Peer& peer = *peers_[event.head.from];
    if (event.kind == Kind::broken) {
        on_broken(peer, event.status);
        return 0;
    }
    if (peer.gone()) {
        if (event.data != nullptr) wire_->release(event.data);
        return 0;
    }
    heard_ = true;
    if (!peer.on_acknowledged(event.head.acknowledged)) {
        if (event.data != nullptr) wire_->release(event.data);
        return lose(peer, "it says that it has read what was not sent", events);
    }
    switch (event.kind) {
        case Kind::frames: return on_frames(peer, event, events);
        case Kind::demand: blobs_->answer(event.head); return 0;
        case Kind::goodbye: on_goodbye(peer); return 0;
        default: return 0;
    }
}

std::size_t UcxWorker::on_frames(ucx::Peer& peer, const ucx::Event& event, TransportEvents& events) {
    if (!peer.on_message(event)) return lose(peer, "it sent a message that may not come now", events);
    return deliver(peer, events);
}

std::size_t UcxWorker::deliver(ucx::Peer& peer, TransportEvents& events) {
    std::size_t count = 0;
    if (peer.deliver(events, count)) return count;
    return count + lose(peer, "it sent frames of impossible length", events);
}

void UcxWorker::on_goodbye(ucx::Peer& peer) {
    peer.leave(State::left);
    blobs_->give_up(peer.rank, "its owner has left");
}

void UcxWorker::on_broken(ucx::Peer& peer, ucs_status_t status) {
    peer.endpoint.abandon();
    if (peer.state != State::here) return;
    peer.state = State::suspected;
    peer.broken = status;
    peer.suspected_until = SteadyClock::now() + goodbye_timeout;
    suspects_.push_back(&peer);
}

std::size_t UcxWorker::report_suspects(TransportEvents& events) {
    std::size_t count = 0;
    const auto now = SteadyClock::now();
    const std::vector<ucx::Peer*> suspects = std::exchange(suspects_, {});
    for (ucx::Peer* peer : suspects) {
        if (peer->state == State::suspected && now < peer->suspected_until) suspects_.push_back(peer);
    }
    for (ucx::Peer* peer : suspects) {
        if (peer->state != State::suspected || now < peer->suspected_until) continue;
        count += lose(*peer, "its connection broke: " + ucx::text_of(peer->broken), events);
    }
    return count;
}

std::size_t UcxWorker::lose(ucx::Peer& peer, const std::string& reason, TransportEvents& events) {
    peer.leave(State::lost);
    peer.endpoint.abandon();
    blobs_->give_up(peer.rank, reason);
    if (!peer.connected()) return 0;
    events.on_lost(peer.rank, reason);
    return 1;
}

bool UcxWorker::something_waits() {
    if (wire_->has_events() || blobs_->has_news() || !newly_connected_.empty()) return true;
    return std::exchange(heard_, false);
}

void UcxWorker::wait(std::chrono::nanoseconds timeout) {
    if (sleeper_.was_woken()) return;
    const int descriptor = arm(timeout);
    if (timeout > 0ns) sleeper_.sleep(timeout, {&descriptor, 1});
}

int UcxWorker::arm(std::chrono::nanoseconds& timeout) {
    for (ucx::Peer* peer : connected_) peer->acknowledge(ucx::Peer::Occasion::rest);
    for (const ucx::Peer* peer : suspects_) {
        timeout = std::min<std::chrono::nanoseconds>(timeout, peer->suspected_until - SteadyClock::now());
    }
    if (something_waits()) timeout = 0ns;
    return arm_worker(timeout);
}

int UcxWorker::arm_worker(std::chrono::nanoseconds& timeout) {
    if (!capabilities_.can_block) {
        timeout = std::min<std::chrono::nanoseconds>(timeout, 200us);
        return -1;
    }
    if (timeout > 0ns && ucp_worker_arm(worker_.get()) != UCS_OK) timeout = 0ns;  // something came in
    return worker_fd_;
}

void UcxWorker::fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) {
    if (blob.owner >= peers_.size()) {
        throw Error{Errc::invalid_input, "a blob of rank " + std::to_string(blob.owner) + ", but the last rank is " +
                                             std::to_string(peers_.size() - 1)};
    }
    blobs_->fetch(blob, into, token);
}

std::string UcxWorker::probe(std::optional<Rank> rank, std::uint64_t others, std::chrono::milliseconds timeout) {
    const std::size_t bytes = std::min(probe_bytes, arena_.limit_bytes());
    return try_fetch(*this, rank, bytes,
                     {.timeout = timeout,
                      .is_idle = [&] { return blobs_->answered() >= others; },
                      .give_up = [&] { blobs_->give_up(*rank, "no answer in time"); }});
}

}  // namespace

UcxResult make_ucx_transport(Bootstrap& bootstrap, Arena& arena) {
    Open open;
    std::string address;
    try {
        open = open_ucx(arena);
        address = "+" + ucx::address_of(open.worker);
    } catch (const Error& error) {
        address = std::string{"-"} + error.what();
    }
    auto [addresses, run] = introduce(bootstrap, address);
    UcxResult result;
    for (Rank rank = 0; rank < addresses.size(); ++rank) {
        std::string& text = addresses[rank];
        if (text.starts_with('+')) {
            text.erase(0, 1);
        } else if (result.why_not.empty()) {
            result.why_not =
                "rank " + std::to_string(rank) + " has no UCX" + (text.empty() ? "" : ": " + text.substr(1));
        }
    }
    if (result.why_not.empty()) {
        result.transport = std::make_unique<UcxWorker>(std::move(open), arena, bootstrap.rank(), run, addresses);
    }
    return result;
}

}  // namespace penstock
