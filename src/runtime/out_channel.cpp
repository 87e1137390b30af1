#include "runtime/out_channel.hpp"

#include <algorithm>
#include <limits>

#include "kernels/crc32c.hpp"

namespace penstock {
namespace {

/// More payloads at once do not make a channel quicker, unless its capacity is more: of those that are on their way to
/// the coordinator or wait there, and of the leases that a producer asks for.
constexpr std::uint32_t most_at_once = 4096;

/// As many as the receivers take together, so that nobody pauses while the coordinator turns round.
[[nodiscard]] std::uint32_t coordinator_batch(const ChannelShape& channel) noexcept {
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(std::uint64_t{channel.capacity} * channel.receivers,
                                                              std::max(channel.capacity, most_at_once)));
}

/// For how long of sending a batch of leases is to last.
constexpr std::chrono::milliseconds lease_time{1};

/// In the in-flight queue: settled, but something older is not.
[[nodiscard]] PayloadBody* settled_mark() noexcept {
    static PayloadBody mark;
    return &mark;
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): the same on every machine.
[[nodiscard]] std::uint64_t hash_of(std::span<const std::byte> bytes) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325U;
    for (const std::byte byte : bytes) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
    return hash;
}

[[nodiscard]] std::uint64_t hash_of(const MetaValue& value) noexcept {
    return std::visit(
        [](const auto& held) {
            using T = std::decay_t<decltype(held)>;
            if constexpr (std::is_same_v<T, std::string_view> || std::is_same_v<T, std::span<const std::byte>>) {
                return hash_of(std::as_bytes(std::span{held.data(), held.size()}));
            } else {
                return hash_of(std::as_bytes(std::span{&held, 1}));
            }
        },
        value);
}

}  // namespace

ChannelShape shape_of(const Plan& plan, std::uint16_t channel) {
    const PlannedChannel& planned = plan.channels[channel];
    const PlannedStage& from = plan.stages[planned.from];
    const PlannedStage& to = plan.stages[planned.to];
    return {.number = channel,
            .name = planned.name,
            .route = planned.route,
            .key = planned.key,
            .overflow = planned.overflow,
            .dispatch = planned.dispatch,
            .by = planned.by,
            .filter = planned.filter,
            .sample = planned.sample,
            .compression = planned.compression,
            .checksum = planned.checksum,
            .transport = std::string{name_of(planned.transport)},
            .first_sender = from.first_rank,
            .senders = static_cast<std::uint32_t>(from.instances),
            .first_receiver = to.first_rank,
            .receivers = static_cast<std::uint32_t>(to.instances),
            .parks_receivers = to.park_idle,
            .capacity = planned.capacity,
            .capacity_bytes = planned.capacity_bytes};
}

ChannelShape sending_leg(const ChannelShape& channel) {
    if (channel.dispatch != Dispatch::central) return channel;
    ChannelShape leg = channel;
    leg.leg = Leg::to_broker;
    leg.route = Route::balance;  // the broker routes
    leg.dispatch = Dispatch::direct;
    leg.first_reader = channel.first_receiver;
    leg.readers = channel.receivers;
    leg.first_receiver = 0;
    leg.receivers = 1;
    leg.capacity = coordinator_batch(channel);
    if (__builtin_mul_overflow(channel.capacity_bytes, channel.receivers, &leg.capacity_bytes)) {
        leg.capacity_bytes = std::numeric_limits<std::uint64_t>::max();
    }
    return leg;
}

ChannelShape receiving_leg(const ChannelShape& channel) {
    if (channel.dispatch != Dispatch::central) return channel;
    ChannelShape leg = channel;
    leg.leg = Leg::from_broker;
    leg.by = PassBy::reference;  // to the bytes in the coordinator's arena, where they were copied
    leg.filter.clear();
    leg.sample = 1;
    leg.compression = {};  // they are as they came
    leg.first_sender = 0;
    leg.senders = 1;
    // Consumers say how much keeps them busy, where the policy does not need to know when they are full.
    const bool grants = channel.route == Route::balance && channel.overflow != Overflow::drop_newest &&
                        channel.overflow != Overflow::error;
    leg.dispatch = grants ? Dispatch::leased : Dispatch::direct;
    return leg;
}

Credits ChannelShape::initial_credits() const noexcept {
    const std::uint64_t bytes = std::max<std::uint64_t>(capacity_bytes / senders, 1);
    if (dispatch == Dispatch::leased) return {0, bytes};
    const std::uint64_t share = std::max<std::uint64_t>(capacity / senders, 1);
    if (overflow == Overflow::latest) return {1, bytes};
    if (overflow == Overflow::drop_oldest) return {std::max<std::uint64_t>(share / 2, 1), bytes};
    return {share, bytes};
}

std::uint64_t ChannelShape::most_under_way() const noexcept {
    if (overflow == Overflow::latest) return 1;
    if (overflow == Overflow::drop_oldest) return std::max<std::uint64_t>(capacity / 2, 1);
    return capacity;
}

OutChannel::OutChannel(ChannelShape shape, Reactor& reactor, Drafts& drafts, ChannelStatus& status)
    : shape_{std::move(shape)}, reactor_{reactor}, drafts_{drafts}, status_{status} {
    const Credits credits = shape_.initial_credits();
    most_credits_ = shape_.dispatch == Dispatch::leased ? shape_.most_under_way() : credits.payloads();
    edges_.resize(shape_.receivers);
    for (std::uint32_t i = 0; i < shape_.receivers; ++i) {
        Edge& edge = edges_[i];
        edge.peer = shape_.first_receiver + i;
        edge.transport = &reactor_.connect(edge.peer, shape_.transport);
        edge.inline_bytes = std::max(edge.transport->capabilities().inline_bytes, inline_blob_bytes);
        edge.packs = shape_.compression.codec != Codec::none && is_fetched(edge);
        edge.credits = credits;
    }
    if (shape_.route == Route::balance) {
        lanes_.push_back(Lane{.first_edge = 0, .edges = edges_.size()});
    } else {
        for (std::size_t i = 0; i < edges_.size(); ++i) lanes_.push_back(Lane{.first_edge = i, .edges = 1});
    }
    if (shape_.overflow == Overflow::latest) hold_limit_ = 1;
    if (shape_.overflow == Overflow::drop_oldest) {
        const std::uint64_t share = shape_.capacity / shape_.senders;
        const std::uint64_t under_way = shape_.dispatch == Dispatch::leased ? share / 2 : credits.payloads();
        hold_limit_ = share > under_way ? share - under_way : 1;
    }
    if (!shape_.filter.empty()) filter_.emplace(parse_comparison(shape_.filter));
    if (shape_.asks_coordinator()) to_coordinator_ = &reactor_.connect(0, "auto");
    reactor_.set_output(shape_.number, this);
    penstock::publish(status_.credits, credits.payloads() * edges_.size());
}

OutChannel::~OutChannel() {
    reactor_.set_output(shape_.number, nullptr);
    for (Edge& edge : edges_) {
        while (!edge.in_flight.empty()) {
            if (PayloadBody* body = edge.in_flight.pop(); body != nullptr && body != settled_mark())
                drop_reference(body);
        }
    }
    for (Lane& lane : lanes_) {
        while (!lane.held_back.empty()) drop_reference(lane.held_back.pop());
    }
}

bool OutChannel::keeps_out(const PayloadBody& body) noexcept {
    if (filter_ && !filter_->matches(MetadataView{body.metadata.view()})) {
        add(status_.filtered, 1);
        return true;
    }
    if (shape_.sample == 1) return false;
    const bool is_next = since_sample_ == 0;
    if (++since_sample_ == shape_.sample) since_sample_ = 0;
    if (!is_next) add(status_.skipped, 1);
    return !is_next;
}

/// Whether somebody who gets the ticket cannot map the blob.
bool OutChannel::is_fetched(const Edge& edge) {
    if (shape_.readers == 0) return !edge.transport->capabilities().maps;
    for (std::uint32_t i = 0; i < shape_.readers; ++i) {
        const auto way = reactor_.transports().choose(shape_.first_reader + i, shape_.transport_to_owners());
        if (!way.transport->capabilities().maps) return true;
    }
    return false;
}

std::size_t OutChannel::compresses_for() const noexcept {
    return static_cast<std::size_t>(
        std::count_if(edges_.begin(), edges_.end(), [](const Edge& edge) { return edge.packs; }));
}

void OutChannel::publish(PayloadBody* body) {
    if (keeps_out(*body)) return drop_reference(body);
    if (shape_.checksum != Checksum::none && !body->has_checksum) seal(*body);
    switch (shape_.route) {
        case Route::balance:
            // What the broker could not route is its producer's error.
            if (!shape_.key.empty()) static_cast<void>(hash_or_drop(body));
            return offer(lanes_[0], body);
        case Route::round_robin: {
            Lane& lane = lanes_[next_lane_];
            next_lane_ = next_lane_ + 1 == lanes_.size() ? 0 : next_lane_ + 1;
            return offer(lane, body);
        }
        case Route::hash: return offer(lanes_[hash_or_drop(body) % lanes_.size()], body);
        case Route::broadcast: break;
    }
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        add_reference(body);
        try {
            offer(lanes_[i], body);
        } catch (...) {
            drop_reference(body);
            throw;
        }
    }
    drop_reference(body);
}

bool OutChannel::try_publish(PayloadBody* body) {
    switch (shape_.route) {
        case Route::balance: return try_offer(lanes_[0], body);
        case Route::round_robin:
            if (!try_offer(lanes_[next_lane_], body)) return false;
            next_lane_ = next_lane_ + 1 == lanes_.size() ? 0 : next_lane_ + 1;
            return true;
        case Route::hash: return try_offer(lanes_[key_hash(*body) % lanes_.size()], body);
        case Route::broadcast: break;
    }
    for (; next_part_ < lanes_.size(); ++next_part_) {
        add_reference(body);
        if (try_offer(lanes_[next_part_], body)) continue;
        drop_reference(body);
        return false;
    }
    next_part_ = 0;
    drop_reference(body);
    return true;
}

/// The hash of the routing key; the payload is dropped if it lacks it.
std::uint64_t OutChannel::hash_or_drop(PayloadBody* body) const {
    try {
        return key_hash(*body);
    } catch (...) {
        drop_reference(body);
        throw;
    }
}

std::uint64_t OutChannel::key_hash(const PayloadBody& body) const {
    const auto value = MetadataView{body.metadata.view()}.find(shape_.key);
    if (!value) {
        throw Error{Errc::invalid_input, "channel '" + shape_.name + "' routes by metadata key '" + shape_.key +
                                             "', which a payload lacks; let the operator set it"};
    }
    return hash_of(*value);
}

/// The checksum is of the bytes as they are here: those of others have to come first.
void OutChannel::seal(PayloadBody& body) {
    if (body.data == nullptr) body.home->resolve(body);
    body.checksum = crc32c({body.data, static_cast<std::size_t>(body.size_bytes)});
    body.has_checksum = true;
}

/// The receiver with most credits; among equals the one whose turn it is.
OutChannel::Edge* OutChannel::most_credits(Lane& lane, std::uint64_t bytes) noexcept {
    Edge* best = nullptr;
    std::size_t best_index = 0;
    for (std::size_t i = 0; i < lane.edges; ++i) {
        std::size_t index = lane.next + i;
        if (index >= lane.edges) index -= lane.edges;
        Edge& edge = edges_[lane.first_edge + index];
        if (!edge.credits.allow(bytes)) continue;
        if (best != nullptr && edge.credits.payloads() <= best->credits.payloads()) continue;
        best = &edge;
        best_index = index;
    }
    if (best != nullptr) lane.next = best_index + 1 == lane.edges ? 0 : best_index + 1;
    return best;
}

/// Gives a receiver half of what it has room for before it turns to the next: a receiver that is woken for one payload
/// costs more than the payload. One that takes long lets one come at a time, and gets no second.
OutChannel::Edge* OutChannel::pick(Lane& lane, std::uint64_t bytes) noexcept {
    if (!goes_in_runs()) return most_credits(lane, bytes);
    if (lane.run != 0 && lane.last->credits.allow(bytes)) {
        --lane.run;
        return lane.last;
    }
    lane.last = most_credits(lane, bytes);
    lane.run = lane.last == nullptr ? 0 : lane.last->credits.payloads() / 2;
    return lane.last;
}

void OutChannel::offer(Lane& lane, PayloadBody* body) {
    add(status_.published, 1);
    if (lane.held_back.empty()) {
        if (Edge* edge = pick(lane, body->size_bytes)) return send(lane, *edge, body);
    }
    overflow(lane, body);
}

/// A payload that the policy drops is taken, too.
bool OutChannel::try_offer(Lane& lane, PayloadBody* body) {
    if (lane.held_back.empty()) {
        Edge* edge = pick(lane, body->size_bytes);
        if (edge != nullptr && try_send(lane, *edge, body)) {
            add(status_.published, 1);
            return true;
        }
    }
    if (shape_.overflow == Overflow::block) return false;
    add(status_.published, 1);
    if (shape_.overflow == Overflow::error) add_reference(body);  // it throws, and leaves the payload with the caller
    overflow(lane, body);
    return true;
}

void OutChannel::overflow(Lane& lane, PayloadBody* body) {
    switch (shape_.overflow) {
        case Overflow::block: {
            Edge* edge = nullptr;
            try {
                blocked_ = true;
                while ((edge = pick(lane, body->size_bytes)) == nullptr) {
                    if (recalled_) give_back();
                    want(lane);
                    reactor_.wait(Activity::waiting_for_credit, shape_.number);
                }
                blocked_ = false;
                reactor_.resume();
            } catch (...) {
                blocked_ = false;
                drop(body);
                throw;
            }
            return send(lane, *edge, body);
        }
        case Overflow::drop_newest: return drop(body);
        case Overflow::error:
            drop(body);
            throw Error{Errc::exhausted, "channel '" + shape_.name +
                                             "' is full, and its overflow policy is 'error'; raise " +
                                             "its capacity or choose 'block'"};
        case Overflow::drop_oldest:
        case Overflow::latest: break;
    }
    if (lane.held_back.size() >= hold_limit_) drop(lane.held_back.pop());
    lane.held_back.push(body);
    want(lane);
}

void OutChannel::pump() {
    for (Lane& lane : lanes_) {
        while (!lane.held_back.empty()) {
            Edge* edge = pick(lane, lane.held_back.front()->size_bytes);
            if (edge == nullptr) {
                want(lane);
                break;
            }
            if (!never_waits()) {
                send(lane, *edge, lane.held_back.pop());
            } else if (try_send(lane, *edge, lane.held_back.front())) {
                static_cast<void>(lane.held_back.pop());
            } else {
                break;
            }
        }
    }
    // Who has waited for a lease uses it first: lease and recall may come together, again and again.
    if ((recalled_ && !blocked_) || (ended_ && to_coordinator_ != nullptr)) give_back();
}

void OutChannel::end() {
    for (Lane& lane : lanes_) {
        while (!lane.held_back.empty()) {
            reactor_.wait(Activity::waiting_for_credit, shape_.number);
            pump();
        }
    }
    ended_ = true;
    for (Edge& edge : edges_) {
        edge.told_end = true;
        reactor_.send(*edge.transport, edge.peer,
                      End{.head = {0, shape_.number, FrameKind::end, 0}, .count = edge.sent});
    }
    if (to_coordinator_ != nullptr) give_back();
}

bool OutChannel::try_end() {
    pump();
    for (const Lane& lane : lanes_) {
        if (!lane.held_back.empty()) return false;
    }
    ended_ = true;
    for (Edge& edge : edges_) {
        if (edge.told_end) continue;
        if (reactor_.try_reserve(*edge.transport, edge.peer, sizeof(End)).empty()) return false;
        edge.told_end = true;
        reactor_.send(*edge.transport, edge.peer,
                      End{.head = {0, shape_.number, FrameKind::end, 0}, .count = edge.sent});
    }
    return true;
}

bool OutChannel::finished() const noexcept {
    return std::all_of(edges_.begin(), edges_.end(),
                       [](const Edge& edge) { return edge.acknowledged && edge.oldest == edge.sent; });
}

void OutChannel::send(Lane& lane, Edge& edge, PayloadBody* body) {
    edge.credits.take(body->size_bytes);
    if (to_coordinator_ != nullptr) --lane.leases;
    TicketForm form;
    std::span<std::byte> room;
    try {
        form = form_for(edge, *body);
        room = reactor_.reserve(*edge.transport, edge.peer, ticket_frame_bytes(*body, edge.sent, form), shape_.number);
    } catch (...) {
        drop(body);
        throw;
    }
    write(lane, edge, body, form, room);
}

bool OutChannel::try_send(Lane& lane, Edge& edge, PayloadBody* body) {
    const TicketForm form = form_for(edge, *body);
    const auto room = reactor_.try_reserve(*edge.transport, edge.peer, ticket_frame_bytes(*body, edge.sent, form));
    if (room.empty()) return false;
    edge.credits.take(body->size_bytes);
    write(lane, edge, body, form, room);
    return true;
}

bool OutChannel::goes_inline(const Edge& edge, const PayloadBody& body) noexcept {
    return body.size_bytes <= edge.inline_bytes && body.data != nullptr;
}

TicketForm OutChannel::form_for(const Edge& edge, PayloadBody& body) {
    TicketForm form = TicketForm::of(body, goes_inline(edge, body));
    form.has_checksum = shape_.checksum != Checksum::none;
    if (!edge.packs || form.is_inline || form.codec != Codec::none) return form;
    const PackedBlob packed = drafts_.codecs().pack(body, shape_.compression);
    if (packed.bytes == 0) return form;
    form.codec = packed.how.codec;
    form.packed_bytes = packed.bytes;
    form.offset = packed.block.offset;
    return form;
}

void OutChannel::count(const TicketForm& form, const PayloadBody& body) noexcept {
    const bool is_packed = form.codec != Codec::none;
    add(status_.packed_to, is_packed ? form.packed_bytes : body.size_bytes);
    if (!is_packed) add(status_.not_packed, 1);
}

void OutChannel::write(Lane& lane, Edge& edge, PayloadBody* body, const TicketForm& form, std::span<std::byte> room) {
    encode_ticket(*body, shape_.number, edge.sent, form, room);
    edge.transport->commit(edge.peer);
    ++edge.sent;
    add(status_.sent, 1);
    add(status_.bytes, body->size_bytes);
    add(status_.credits, ~std::uint64_t{0});  // one less
    if (shape_.compression.codec != Codec::none) count(form, *body);
    // A small blob that comes from nothing else is complete in the frame; all others are kept until they are settled.
    const bool owed = body->received && !body->settled;
    if (form.is_inline && !body->has_block && !owed && body->parent == nullptr && body->kept.empty()) {
        drop_reference(body);
        body = nullptr;
    } else if (form.codec != Codec::none && body->has_block && !body->received && is_sole_reference(*body)) {
        drafts_.codecs().let_go(*body);
    }
    edge.in_flight.push(body);
    // Last: asking may wait and poll, and what that sends has to come after this payload.
    if (to_coordinator_ != nullptr && lane.leases < lane.batch / 2) ask(lane);
}

/// Without waiting for the answer.
void OutChannel::ask(Lane& lane) {
    if (lane.asked) return;
    lane.asked = true;
    const auto now = SteadyClock::now();
    const bool was_used_up = std::exchange(lane.ran_dry, false);
    if (now - lane.heard_at > lease_time) {
        lane.batch = std::max(lane.batch / 2, 1U);
    } else if (was_used_up) {
        lane.batch = std::min(2 * lane.batch, coordinator_batch(shape_));
    }
    lane.heard_at = now;
    reactor_.send(*to_coordinator_, 0,
                  LeaseFrame{.head = {0, shape_.number, FrameKind::ask, 0}, .receiver = 0, .payloads = lane.batch});
}

/// There is something to send and no credit for it.
void OutChannel::want(Lane& lane) {
    if (to_coordinator_ == nullptr || lane.leases != 0) return;
    lane.ran_dry = true;
    ask(lane);
}

void OutChannel::give_back() {
    recalled_ = false;
    lanes_[0].batch = std::max(lanes_[0].batch / 2, 1U);
    for (std::size_t i = 0; i < edges_.size(); ++i) {
        const std::uint64_t unused = edges_[i].credits.surrender();
        if (unused == 0) continue;
        lanes_[0].leases -= unused;
        add(status_.credits, ~unused + 1);
        reactor_.send(*to_coordinator_, 0,
                      LeaseFrame{.head = {0, shape_.number, FrameKind::give_back, 0},
                                 .receiver = static_cast<std::uint32_t>(i),
                                 .payloads = static_cast<std::uint32_t>(unused)});
    }
}

/// Only takes note: a receiver of frames does not send.
void OutChannel::on_lease(Rank from, FrameKind kind, std::span<const std::byte> frame) {
    const auto lease = read_frame<LeaseFrame>(frame);
    if (!lease || from != 0 || to_coordinator_ == nullptr || lease->receiver >= edges_.size() ||
        edges_[lease->receiver].credits.payloads() + lease->payloads > most_credits_) {
        reactor_.protocol_error(from, "a broken lease for channel '" + shape_.name + "'");
    }
    if (kind == FrameKind::recall) {
        recalled_ = true;
        return;
    }
    Lane& lane = lanes_[0];
    lane.heard_at = SteadyClock::now();
    if ((lease->head.flags & LeaseFrame::last) != 0) lane.asked = false;
    lane.leases += lease->payloads;
    edges_[lease->receiver].credits.give(lease->payloads, 0);
    add(status_.credits, lease->payloads);
}

bool OutChannel::coordinator_is_silent(SteadyClock::time_point now, SteadyClock::duration limit) const noexcept {
    const Lane& lane = lanes_[0];
    return lane.asked && lane.leases == 0 && now - lane.heard_at > limit;
}

void OutChannel::drop(PayloadBody* body) noexcept {
    add(status_.dropped, 1);
    drop_reference(body);
}

void OutChannel::on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) {
    if (kind == FrameKind::lease || kind == FrameKind::recall) return on_lease(from, kind, frame);
    const std::uint32_t index = from - shape_.first_receiver;
    if (from < shape_.first_receiver || index >= edges_.size()) {
        reactor_.protocol_error(from, "returns for channel '" + shape_.name + "', which it does not receive");
    }
    Edge& edge = edges_[index];
    if (kind == FrameKind::end_ack) {
        const auto ack = read_frame<End>(frame);
        if (!ack || ack->count != edge.sent) reactor_.protocol_error(from, "an acknowledgement of a wrong count");
        if (!ended_ || edge.oldest != edge.sent) reactor_.protocol_error(from, "an acknowledgement before its time");
        edge.acknowledged = true;
        return;
    }
    const auto returns = read_frame<Returns>(frame);
    if (!returns) reactor_.protocol_error(from, "returns of impossible length");
    on_returns(edge, *returns);
}

void OutChannel::on_returns(Edge& edge, const Returns& returns) {
    const std::uint64_t first = returns.settled_first;
    const std::uint64_t last = first + returns.settled_count;
    if (returns.settled_count != 0 && (first < edge.oldest || last < first || last > edge.sent)) {
        reactor_.protocol_error(edge.peer, "a settlement of payloads that it does not have");
    }
    if (edge.credits.payloads() + returns.credit_payloads > most_credits_) {
        reactor_.protocol_error(edge.peer, "more credits than it was sent payloads");
    }
    edge.credits.give(returns.credit_payloads, returns.credit_bytes);
    add(status_.credits, returns.credit_payloads);
    add(status_.settled, returns.settled_count);
    for (std::uint64_t sequence = first; sequence != last; ++sequence) {
        PayloadBody*& entry = edge.in_flight[sequence - edge.oldest];
        if (entry == settled_mark()) reactor_.protocol_error(edge.peer, "a settlement twice");
        if (entry != nullptr) drop_reference(entry);
        entry = settled_mark();
    }
    while (!edge.in_flight.empty() && edge.in_flight.front() == settled_mark()) {
        edge.in_flight.pop();
        ++edge.oldest;
    }
}

std::string OutChannel::describe() const {
    std::string text;
    for (const Edge& edge : edges_) {
        text += (text.empty() ? "" : ", ") + reactor_.label(edge.peer) + ": " +
                std::to_string(edge.credits.payloads()) + " credits, " + std::to_string(edge.sent - edge.oldest) +
                " unsettled";
    }
    return text;
}

}  // namespace penstock
