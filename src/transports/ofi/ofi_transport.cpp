#include "transports/ofi/ofi_transport.hpp"

#include <algorithm>
#include <utility>

#include <sys/epoll.h>

#include "base/clock.hpp"
#include "transports/ofi/blobs.hpp"
#include "transports/ofi/endpoint.hpp"
#include "transports/ofi/hello.hpp"
#include "transports/ofi/packet.hpp"
#include "transports/ofi/peer.hpp"
#include "transports/ofi/provider.hpp"
#include "transports/ofi/rails.hpp"
#include "transports/ofi/watch.hpp"
#include "transports/ofi/wire.hpp"
#include "transports/sleeper.hpp"
#include "transports/trial.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using ofi::Kind;
using State = ofi::Peer::State;
using Occasion = ofi::Peer::Occasion;

constexpr std::chrono::milliseconds parting_timeout = 500ms;
/// Over TCP, what counts as sent may still lie in a buffer of libfabric, which is gone with the endpoint. Who is about
/// to leave stays that long for what nobody has said to have read.
constexpr std::chrono::milliseconds linger = 20ms;
/// Where the coordinator sees the processes, it is to say how this one ended before its peers say that they miss it.
constexpr std::chrono::milliseconds goodbye_timeout = 500ms;
/// Where the provider has nothing to sleep on.
constexpr auto nap = 200us;
/// As long as somebody did not take something.
constexpr auto retry = 1ms;
constexpr std::size_t probe_bytes = 64U << 10U;  // more than fits into one message

class OfiEndpoint final : public OfiTransport {
public:
    /// @param rails  Joined.
    OfiEndpoint(ofi::Rails rails, Arena& arena, Rank self, std::uint64_t run, const std::vector<ofi::Hello>& hellos);
    ~OfiEndpoint() override;

    [[nodiscard]] std::string_view name() const noexcept override { return "ofi"; }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
    [[nodiscard]] const std::string& description() const noexcept override { return description_; }
    [[nodiscard]] std::string probe(std::optional<Rank> rank, std::uint64_t others,
                                    std::chrono::milliseconds timeout) override;
    [[nodiscard]] std::uint64_t registrations() const noexcept override { return rails_.registrations(); }
    [[nodiscard]] std::uint32_t rails() const noexcept override { return wire_->rails(); }
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
    [[nodiscard]] Thresholds thresholds() const noexcept override { return thresholds_; }
    void use(const Thresholds& thresholds) override;

private:
    void progress();
    std::size_t dispatch(const ofi::Arrived& arrived, TransportEvents& events);
    [[nodiscard]] const char* handle(ofi::Peer& peer, const ofi::Head& head, const ofi::Arrived& arrived, bool& kept);
    std::size_t deliver(ofi::Peer& peer, TransportEvents& events);
    void suspect(ofi::Peer& peer, std::string what);
    std::size_t report_suspects(TransportEvents& events);
    std::size_t lose(ofi::Peer& peer, const std::string& reason, TransportEvents& events);
    void acknowledge_all(Occasion occasion);
    [[nodiscard]] bool something_waits();
    [[nodiscard]] bool may_sleep();
    void part() noexcept;
    void hear_last_words();
    [[nodiscard]] bool all_is_read() const noexcept;

    Capabilities capabilities_;
    Thresholds thresholds_;
    std::string description_;
    Sleeper sleeper_;
    File all_descriptors_;  // to sleep on, where there are several rails
    int descriptor_ = -1;
    ofi::Rails rails_;
    std::unique_ptr<ofi::Wire> wire_;
    ofi::Blobs::Peers peers_;  // by rank
    std::unique_ptr<ofi::Blobs> blobs_;
    std::unique_ptr<ofi::Watch> watch_;
    std::vector<ofi::Completion> completions_;
    std::vector<ofi::Peer*> met_;  // those that have anything to do with us
    std::vector<ofi::Peer*> connected_;
    std::vector<ofi::Peer*> newly_connected_;
    std::vector<ofi::Peer*> suspects_;
    ofi::Blobs::How how_ = ofi::Blobs::How::best;
    struct Closer {
        ofi::Rails& rails;
        ~Closer() { rails.close(); }
    };
    bool heard_ = false;     // from a peer, since the last wait: there may be room now, or nothing left to be read
    Closer closer_{rails_};  // last: endpoints are closed before the memory that they may still write to
};

/// "eth0", or "eth0, eth1 (4 rails)". @param devices  Of each rail.
[[nodiscard]] std::string names_of_rails(const std::vector<std::string>& devices) {
    std::string text;
    for (auto name = devices.begin(); name != devices.end(); ++name) {
        if (std::find(devices.begin(), name, *name) == name) text.append(text.empty() ? "" : ", ").append(*name);
    }
    return devices.size() < 2 ? text : text + " (" + std::to_string(devices.size()) + " rails)";
}

[[nodiscard]] std::string devices_of(const std::vector<ofi::Rail>& rails) {
    std::vector<std::string> names;
    for (const ofi::Rail& rail : rails) {
        const char* name = rail.device->info().domain_attr->name;
        names.emplace_back(name == nullptr ? "?" : name);
    }
    return "device " + names_of_rails(names);
}

/// Payloads do not use it: they are in host memory.
[[nodiscard]] bool offer_device_memory(const std::vector<ofi::Rail>& rails) {
    const ofi::Device* last = nullptr;
    return std::all_of(rails.begin(), rails.end(), [&last](const ofi::Rail& rail) {
        const bool is_known = rail.device == last;  // several endpoints of one device
        last = rail.device;
        return is_known || ofi::offers_device_memory(rail.device->info());
    });
}

[[nodiscard]] std::string describe(const std::vector<ofi::Rail>& rails, bool reads) {
    const std::uint32_t version = ofi::library().version();
    return "libfabric " + std::to_string(FI_MAJOR(version)) + "." + std::to_string(FI_MINOR(version)) + ", provider " +
           rails.front().device->provider() + ", " + devices_of(rails) +
           (reads ? ", which reads remote memory" : ", payloads sent by their owners") +
           (offer_device_memory(rails) ? "; FI_HMEM is there" : "");
}

/// Readable when one of them is. @return none if one of them is none.
[[nodiscard]] File joint_descriptor(const std::vector<ofi::Rail>& rails) {
    File all{epoll_create1(EPOLL_CLOEXEC)};
    for (const ofi::Rail& rail : rails) {
        epoll_event event{.events = EPOLLIN, .data = {}};
        const int one = rail.endpoint->descriptor();
        if (!all || one < 0 || epoll_ctl(all.get(), EPOLL_CTL_ADD, one, &event) != 0) return {};
    }
    return all;
}

OfiEndpoint::OfiEndpoint(ofi::Rails rails, Arena& arena, Rank self, std::uint64_t run,
                         const std::vector<ofi::Hello>& hellos)
    : rails_{std::move(rails)} {
    const auto ranks = static_cast<Rank>(hellos.size());
    const bool reads = std::all_of(hellos.begin(), hellos.end(), [](const ofi::Hello& hello) { return hello.reads; });
    const auto message_bytes = static_cast<std::size_t>(hellos[self].message_bytes);
    wire_ = std::make_unique<ofi::Wire>(rails_.all(), message_bytes, run, self, ranks);
    for (Rank rank = 0; rank < ranks; ++rank) peers_.push_back(std::make_unique<ofi::Peer>(*wire_, rank));
    blobs_ = std::make_unique<ofi::Blobs>(*wire_, arena, peers_, rails_.arenas(), reads);
    OfiEndpoint::use(ofi_thresholds.built_in);
    watch_ = std::make_unique<ofi::Watch>(*wire_, rails_.arenas(), self);
    completions_.reserve(256);
    wire_->refill();
    if (wire_->rails() > 1) all_descriptors_ = joint_descriptor(rails_.all());
    descriptor_ = all_descriptors_ ? all_descriptors_.get() : wire_->rails() == 1 ? wire_->endpoint().descriptor() : -1;
    description_ = describe(rails_.all(), blobs_->reads());
    capabilities_.native_read = blobs_->reads();
    capabilities_.device_memory = false;  // also with FI_HMEM: the device was opened without
    capabilities_.can_block = descriptor_ >= 0;
    capabilities_.max_frame_bytes = largest_frame;
}

void OfiEndpoint::use(const Thresholds& thresholds) {
    thresholds_ = thresholds;
    capabilities_.inline_bytes = thresholds.inline_bytes;
    capabilities_.fetches_in_flight = thresholds.in_flight;
    blobs_->use(thresholds);
}

OfiEndpoint::~OfiEndpoint() {
    part();
}

/// Says goodbye to all, so that nobody takes the end of a connection for a failure.
void OfiEndpoint::part() noexcept {
    try {
        std::vector<ofi::Peer*> left;
        for (const auto& peer : peers_) {
            if (peer->state == State::here && wire_->is_met(peer->rank)) left.push_back(peer.get());
        }
        const auto start = SteadyClock::now();
        while (SteadyClock::now() - start < parting_timeout) {
            std::erase_if(left, [](ofi::Peer* peer) { return peer->gone() || peer->say_goodbye(); });
            progress();
            hear_last_words();
            const bool is_sent = left.empty() && wire_->on_way() == 0;
            if (is_sent && (all_is_read() || SteadyClock::now() - start > linger)) break;
            sleeper_.sleep(nap, {});
        }
    } catch (const std::exception&) {
        // Without memory for it the others hear from the kernel.
    }
}

/// Of what still comes, only what it says of us.
void OfiEndpoint::hear_last_words() {
    ofi::Arrived arrived;
    while (wire_->take(arrived)) {
        const auto head = ofi::head_of(arrived.message(), wire_->run(), wire_->ranks());
        if (head && !peers_[head->from]->gone()) {
            ofi::Peer& peer = *peers_[head->from];
            const bool is_sound = peer.on_head(*head);
            if (!is_sound || head->kind == Kind::goodbye) peer.leave(is_sound ? State::left : State::lost);
        }
        wire_->release(*arrived.slot);
    }
}

bool OfiEndpoint::all_is_read() const noexcept {
    return std::all_of(connected_.begin(), connected_.end(),
                       [](const ofi::Peer* peer) { return peer->gone() || peer->is_read(); });
}

void OfiEndpoint::connect(Rank rank) {
    ofi::Peer& peer = *peers_.at(rank);
    if (peer.connected()) return;
    if (!peer.is_met()) met_.push_back(&peer);
    peer.connect();
    connected_.push_back(&peer);
    newly_connected_.push_back(&peer);  // something may have come before
}

void OfiEndpoint::forget(Rank rank) {
    ofi::Peer& peer = *peers_[rank];
    if (peer.gone()) return;
    peer.leave(State::lost);
    blobs_->give_up(rank, "its owner is gone");
}

void OfiEndpoint::flush() {
    for (ofi::Peer* peer : connected_) peer->flush();
}

bool OfiEndpoint::drained() const {
    return std::all_of(connected_.begin(), connected_.end(), [](const ofi::Peer* peer) { return peer->drained(); });
}

void OfiEndpoint::progress() {
    completions_.clear();
    wire_->progress(completions_);
    for (const ofi::Completion& completion : completions_) {
        if (completion.operation->role == ofi::Operation::Role::watch) {
            watch_->on_completed(completion);
        } else {
            blobs_->on_completed(completion);
        }
    }
}

std::size_t OfiEndpoint::poll(TransportEvents& events) {
    progress();
    std::size_t count = 0;
    ofi::Arrived arrived;
    while (wire_->take(arrived)) count += dispatch(arrived, events);
    while (!newly_connected_.empty()) {
        ofi::Peer& peer = *newly_connected_.back();
        newly_connected_.pop_back();
        count += deliver(peer, events);
    }
    for (ofi::Broken& broken : wire_->take_broken()) suspect(*peers_[broken.peer], std::move(broken.what));
    if (!suspects_.empty()) count += report_suspects(events);
    for (ofi::Peer* peer : connected_) peer->go_on();
    blobs_->go_on();
    count += blobs_->deliver(events);
    watch_->look([this](Rank rank) { return peers_[rank]->state == State::here; });
    acknowledge_all(Occasion::busy);
    wire_->refill();
    return count;
}

std::size_t OfiEndpoint::dispatch(const ofi::Arrived& arrived, TransportEvents& events) {
    const auto head = ofi::head_of(arrived.message(), wire_->run(), wire_->ranks());
    if (!head || peers_[head->from]->gone()) {
        wire_->release(*arrived.slot);
        return 0;
    }
    ofi::Peer& peer = *peers_[head->from];
    heard_ = true;
    wire_->on_met(peer.rank, arrived.slot->operation.rail);
    if (!peer.is_met()) met_.push_back(&peer);
    bool kept = false;
    const char* wrong = handle(peer, *head, arrived, kept);
    if (!kept) wire_->release(*arrived.slot);
    if (wrong != nullptr) return lose(peer, wrong, events);
    return head->kind == Kind::frames ? deliver(peer, events) : 0;
}

/// @return what is wrong with the message, or null.
const char* OfiEndpoint::handle(ofi::Peer& peer, const ofi::Head& head, const ofi::Arrived& arrived, bool& kept) {
    if (!peer.on_head(head)) return "it says that it has read what was not sent";
    switch (head.kind) {
        case Kind::frames:
            kept = peer.on_frames(head, arrived);
            return kept ? nullptr : "it sent a message that may not come now";
        case Kind::demand:
        case Kind::demand_tagged:
            peer.on_dealt_with();
            return blobs_->on_demand(head) ? nullptr : "it asked for what it may not have";
        case Kind::chunk:
            return blobs_->on_chunk(head, arrived.message().subspan(sizeof head))
                       ? nullptr
                       : "it sent a payload that nobody asked for";
        case Kind::goodbye:
            peer.leave(State::left);
            blobs_->give_up(peer.rank, "its owner has left");
            return nullptr;
        case Kind::note: return nullptr;
    }
    return nullptr;
}

std::size_t OfiEndpoint::deliver(ofi::Peer& peer, TransportEvents& events) {
    std::size_t count = 0;
    if (peer.deliver(events, count)) return count;
    return count + lose(peer, "it sent frames of impossible length", events);
}

void OfiEndpoint::suspect(ofi::Peer& peer, std::string what) {
    if (peer.state != State::here) return;
    peer.state = State::suspected;
    peer.broken = std::move(what);
    peer.suspected_until = SteadyClock::now() + goodbye_timeout;
    suspects_.push_back(&peer);
}

std::size_t OfiEndpoint::report_suspects(TransportEvents& events) {
    std::size_t count = 0;
    const auto now = SteadyClock::now();
    const std::vector<ofi::Peer*> suspects = std::exchange(suspects_, {});
    for (ofi::Peer* peer : suspects) {
        if (peer->state == State::suspected && now < peer->suspected_until) suspects_.push_back(peer);
    }
    for (ofi::Peer* peer : suspects) {
        if (peer->state != State::suspected || now < peer->suspected_until) continue;
        count += lose(*peer, "its connection broke: " + peer->broken, events);
    }
    return count;
}

std::size_t OfiEndpoint::lose(ofi::Peer& peer, const std::string& reason, TransportEvents& events) {
    peer.leave(State::lost);
    blobs_->give_up(peer.rank, reason);
    if (!peer.connected()) return 0;
    events.on_lost(peer.rank, reason);
    return 1;
}

void OfiEndpoint::acknowledge_all(Occasion occasion) {
    for (ofi::Peer* peer : met_) peer->acknowledge(occasion);
}

bool OfiEndpoint::something_waits() {
    if (wire_->has_arrived() || wire_->has_broken() || blobs_->has_news() || !newly_connected_.empty()) return true;
    return std::exchange(heard_, false);
}

bool OfiEndpoint::may_sleep() {
    return std::all_of(rails_.all().begin(), rails_.all().end(),
                       [](const ofi::Rail& rail) { return rail.endpoint->may_sleep(); });
}

void OfiEndpoint::wait(std::chrono::nanoseconds timeout) {
    if (sleeper_.was_woken()) return;
    const int descriptor = arm(timeout);
    if (timeout > 0ns) sleeper_.sleep(timeout, {&descriptor, 1});
}

int OfiEndpoint::arm(std::chrono::nanoseconds& timeout) {
    acknowledge_all(Occasion::rest);
    const auto now = SteadyClock::now();
    timeout = std::min<std::chrono::nanoseconds>(timeout, watch_->next() - now);
    for (const ofi::Peer* peer : suspects_) {
        timeout = std::min<std::chrono::nanoseconds>(timeout, peer->suspected_until - now);
    }
    if (wire_->was_refused()) timeout = std::min<std::chrono::nanoseconds>(timeout, retry);
    if (!capabilities_.can_block) timeout = std::min<std::chrono::nanoseconds>(timeout, nap);
    if (something_waits() || (timeout > 0ns && capabilities_.can_block && !may_sleep())) timeout = 0ns;
    return descriptor_;
}

void OfiEndpoint::fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) {
    if (blob.owner >= peers_.size()) {
        throw Error{Errc::invalid_input, "a blob of rank " + std::to_string(blob.owner) + ", but the last rank is " +
                                             std::to_string(peers_.size() - 1)};
    }
    blobs_->fetch(blob, into, token, how_);
}

std::string OfiEndpoint::probe(std::optional<Rank> rank, std::uint64_t others, std::chrono::milliseconds timeout) {
    std::size_t bytes = probe_bytes;  // the same on all ranks
    for (const ofi::RemoteArena& arena : rails_.arenas().front()) bytes = std::min(bytes, std::size_t{arena.bytes});
    const auto give_up = [&] { blobs_->give_up(*rank, "no answer in time" + blobs_->rails_in_use()); };
    // First by asking: whoever is read does not notice, so nobody would know when to stop helping.
    how_ = ofi::Blobs::How::try_owners;
    // What libfabric has not sent yet is not sent while nobody polls.
    const auto is_idle = [&] {
        return blobs_->answered_bytes() >= others * bytes && !blobs_->answering() && wire_->on_way() == 0;
    };
    std::string wrong = try_fetch(*this, rank, bytes, {.timeout = timeout, .is_idle = is_idle, .give_up = give_up});
    if (rank && wrong.empty() && blobs_->reads()) {
        how_ = ofi::Blobs::How::try_reads;
        wrong = try_fetch(*this, rank, bytes, {.timeout = timeout, .is_idle = [] { return true; }, .give_up = give_up});
    }
    how_ = ofi::Blobs::How::best;
    return wrong;
}

[[nodiscard]] std::string join(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text.append(text.empty() ? "" : ",").append(word);
    return text;
}

/// What libfabric has in this process.
struct Found {
    ofi::Info all;
    std::vector<ofi::Offer> offers;
    std::string why_not;  ///< If there is nothing.
};

[[nodiscard]] Found find_offers(const ofi::Wishes& wishes) {
    Found found;
    try {
        found.all = ofi::discover(wishes);
    } catch (const Error& error) {
        found.why_not = error.what();
    }
    found.offers = ofi::offers_of(found.all);
    return found;
}

/// Collective. One of the ranks' answers to each other is an error: which, in words.
[[nodiscard]] std::string first_problem(const std::vector<std::string>& answers) {
    for (Rank rank = 0; rank < answers.size(); ++rank) {
        if (answers[rank].starts_with('+')) continue;
        return "rank " + std::to_string(rank) + ": " +
               (answers[rank].empty() ? std::string{"nothing"} : answers[rank].substr(1));
    }
    return {};
}

[[nodiscard]] std::string no_provider(const std::vector<std::string>& lists, const ofi::Wishes& wishes) {
    for (Rank rank = 0; rank < lists.size(); ++rank) {
        if (!lists[rank].empty()) continue;
        return "rank " + std::to_string(rank) + " has no provider of libfabric " +
               (wishes.provider.empty() ? std::string{"that leads to other hosts"}
                                        : "'" + wishes.provider + "' (PENSTOCK_OFI_PROVIDER)") +
               "; 'fi_info -l' lists them";
    }
    return "the ranks have no provider of libfabric in common";
}

[[nodiscard]] ofi::Rails open_best(const Found& found, const ofi::Wishes& wishes, const std::string& provider,
                                   const Arena& arena, const ofi::Limits& limits) {
    std::vector<const fi_info*> infos;
    for (const fi_info* info = found.all.get(); info != nullptr; info = info->next) infos.push_back(info);
    std::vector<const fi_info*> chosen;
    for (const std::size_t offer :
         ofi::choose_rails(found.offers, provider, wishes, "/sys", ofi::own_numa_nodes("/sys"))) {
        chosen.push_back(infos[offer]);
    }
    if (chosen.empty()) throw Error{Errc::unsupported, "no device any more"};
    return ofi::Rails{chosen, provider, arena, limits};
}

/// Collective. Opens one provider on all ranks, or says on all of them why it does not work.
[[nodiscard]] std::string open_everywhere(Bootstrap& bootstrap, Arena& arena, const ofi::Limits& limits,
                                          const Found& found, const ofi::Wishes& wishes, const std::string& provider,
                                          std::unique_ptr<OfiTransport>& made) {
    ofi::Rails open;
    std::string mine;
    try {
        try {
            open = open_best(found, wishes, provider, arena, limits);
        } catch (const Error&) {  // network interfaces come and go, those of containers often
            open = open_best(find_offers(wishes), wishes, provider, arena, limits);
        }
        mine = "+" + ofi::text_of(open.hello());
    } catch (const Error& error) {
        mine = std::string{"-"} + error.what();
    }
    const auto [answers, run] = introduce(bootstrap, mine);
    std::string wrong = first_problem(answers);
    std::vector<ofi::Hello> hellos;
    for (Rank rank = 0; rank < answers.size() && wrong.empty(); ++rank) {
        const auto hello = ofi::hello_of(std::string_view{answers[rank]}.substr(1));
        if (!hello || hello->message_bytes != open.hello().message_bytes || hello->window != open.hello().window) {
            wrong = "rank " + std::to_string(rank) + " has messages of another length";
        } else {
            hellos.push_back(*hello);
        }
    }
    // All know all before anybody sends: a device may refuse whom it does not know.
    mine = "+";
    try {
        if (!wrong.empty()) throw Error{Errc::unsupported, wrong};
        open.join(hellos, ofi::common_rails(hellos), bootstrap.rank());
        made = std::make_unique<OfiEndpoint>(std::move(open), arena, bootstrap.rank(), run, hellos);
    } catch (const Error& error) {
        mine = std::string{"-"} + error.what();
    }
    const auto results = bootstrap.allgather(mine);
    if (wrong.empty()) wrong = first_problem(results);
    if (!wrong.empty()) made.reset();
    return wrong;
}

}  // namespace

namespace {

/// The devices that rails would go over, and how often, if there are several.
[[nodiscard]] std::string devices_here(const Found& found, const std::string& provider, const ofi::Wishes& wishes) {
    try {
        std::vector<std::string> names;
        for (const std::size_t offer :
             ofi::choose_rails(found.offers, provider, wishes, "/sys", ofi::own_numa_nodes("/sys"))) {
            names.push_back(found.offers[offer].domain);
        }
        return names_of_rails(names);
    } catch (const Error&) {
        return {};  // the setting is another provider's
    }
}

[[nodiscard]] bool offers_device_memory_here(const Found& found, const std::string& provider,
                                             const ofi::Wishes& wishes) {
    const std::size_t best = ofi::best_offer(found.offers, provider, wishes, "/sys/class");
    const fi_info* info = found.all.get();
    for (std::size_t i = 0; i < best && info != nullptr; ++i) info = info->next;
    return info != nullptr && ofi::offers_device_memory(*info);
}

}  // namespace

ofi::Here ofi::here() {
    const Wishes wishes = Wishes::of_environment();
    const Found found = find_offers(wishes);
    Here here;
    for (const std::string& provider : usable_providers(found.offers, wishes)) {
        const std::string devices = devices_here(found, provider, wishes);
        if (devices.empty()) continue;
        const bool has_device_memory = offers_device_memory_here(found, provider, wishes);
        if (here.text.empty()) here.device_memory = has_device_memory;
        here.text.append(here.text.empty() ? "" : ", ").append(provider).append(" on ").append(devices);
        if (has_device_memory) here.text += " with FI_HMEM";
    }
    if (here.text.empty()) here.text = "no provider that leads to other hosts";
    return here;
}

OfiResult make_ofi_transport(Bootstrap& bootstrap, Arena& arena, const ofi::Limits& limits, const ofi::Wishes& wishes) {
    const Found found = find_offers(wishes);
    const auto lists = bootstrap.allgather(join(ofi::usable_providers(found.offers, wishes)));
    OfiResult result;
    const std::vector<std::string> common = ofi::common_providers(lists);
    if (common.empty()) {
        result.why_not = no_provider(lists, wishes) + (found.why_not.empty() ? "" : " (" + found.why_not + ")");
    }
    for (const std::string& provider : common) {
        const std::string wrong = open_everywhere(bootstrap, arena, limits, found, wishes, provider, result.transport);
        if (result.transport) break;
        result.why_not.append(result.why_not.empty() ? "" : "; ").append("provider " + provider + ": " + wrong);
    }
    if (result.transport) result.why_not.clear();
    return result;
}

}  // namespace penstock
