#include "runtime/in_channel.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "kernels/crc32c.hpp"

namespace penstock {
InChannel::InChannel(ChannelShape shape, Reactor& reactor, Drafts& drafts, Arena& arena, BodyPool& bodies,
                     ReadyQueue& ready, ChannelStatus& status)
    : shape_{std::move(shape)},
      reactor_{reactor},
      drafts_{drafts},
      arena_{arena},
      bodies_{bodies},
      ready_{ready},
      status_{status},
      batch_{std::max<std::uint64_t>((shape_.dispatch == Dispatch::leased ? shape_.capacity / shape_.senders
                                                                          : shape_.initial_credits().payloads()) /
                                         4,
                                     1)},
      window_{shape_.most_under_way()} {
    edges_.resize(shape_.senders);
    for (std::uint32_t i = 0; i < shape_.senders; ++i) {
        edges_[i].peer = shape_.first_sender + i;
        edges_[i].credits = shape_.initial_credits().payloads();
        edges_[i].transport = &reactor_.connect(edges_[i].peer, shape_.transport);
        most_fetches_ = std::max(most_fetches_, edges_[i].transport->capabilities().fetches_in_flight);
    }
    if (shape_.asks_coordinator()) to_coordinator_ = &reactor_.connect(0, "auto");
    reactor_.set_input(shape_.number, this);
}

InChannel::InChannel(ChannelShape shape, Reactor& reactor, Drafts& drafts, Arena& arena, BodyPool& bodies,
                     ReadyQueue& ready, ChannelStatus& status, std::uint64_t most_copied)
    : InChannel{std::move(shape), reactor, drafts, arena, bodies, ready, status} {
    most_copied_ = most_copied;
}

InChannel::~InChannel() {
    reactor_.set_input(shape_.number, nullptr);
    while (!to_fetch_.empty()) drop_reference(to_fetch_.pop());
}

void InChannel::on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) {
    const std::uint32_t index = from - shape_.first_sender;
    if (from < shape_.first_sender || index >= edges_.size()) {
        reactor_.protocol_error(from, "a payload for channel '" + shape_.name + "', which it does not feed");
    }
    if (kind == FrameKind::ticket) return on_ticket(index, frame);
    if (kind != FrameKind::end) reactor_.protocol_error(from, "a message that is not for a consumer");

    Edge& edge = edges_[index];
    const auto end = read_frame<End>(frame);
    if (!end || edge.count) reactor_.protocol_error(from, "a broken or second end of channel '" + shape_.name + "'");
    edge.count = end->count;
    if (ended()) penstock::publish(status_.ended, 1);
    if (end->count != edge.received) {
        throw Error{Errc::disconnected, "channel '" + shape_.name + "': " + reactor_.label(from) + " sent " +
                                            std::to_string(end->count) + " payloads, but " +
                                            std::to_string(edge.received) + " arrived"};
    }
}

void InChannel::on_ticket(std::uint32_t index, std::span<const std::byte> frame) {
    Edge& edge = edges_[index];
    PayloadBody* body = bodies_.take();
    std::uint64_t sequence = 0;
    std::span<const std::byte> inline_blob;
    const auto wrong = decode_ticket(frame, edge.peer, *body, sequence, inline_blob);
    if (wrong || edge.count) {
        bodies_.put_back(body);
        reactor_.protocol_error(edge.peer, wrong ? *wrong : "a payload after its END");
    }
    if (sequence != edge.received) {
        bodies_.put_back(body);
        throw Error{Errc::disconnected, "channel '" + shape_.name + "': payload " + std::to_string(edge.received) +
                                            " from " + reactor_.label(edge.peer) + " is missing; " +
                                            std::to_string(sequence) + " came instead"};
    }
    if (body->owner >= reactor_.transports().ranks()) {
        bodies_.put_back(body);
        reactor_.protocol_error(edge.peer, "a blob of a rank that does not exist");
    }
    if (shape_.checksum != Checksum::none && !body->has_checksum) {
        bodies_.put_back(body);
        reactor_.protocol_error(edge.peer, "a payload without the checksum that channel '" + shape_.name + "' has");
    }
    std::uint64_t& credits = to_coordinator_ != nullptr ? expected_ : edge.credits;
    if (credits == 0) {
        bodies_.put_back(body);
        reactor_.protocol_error(edge.peer, "a payload without a credit");
    }
    --credits;
    ++edge.received;
    body->home = this;
    body->received = true;
    body->edge = index;
    body->edge_sequence = sequence;
    if (!inline_blob.empty() && body->data == nullptr) {
        body->large_inline_blob.assign(inline_blob.begin(), inline_blob.end());
        body->data = body->large_inline_blob.data();
    }
    if (body->size_bytes == 0) body->data = body->inline_blob.data();
    if (body->codec != Codec::none && !never_waits()) drafts_.expect_unpacking(body->size_bytes);
    ready_.push(body);
    if (body->has_checksum && body->data != nullptr && !never_waits()) verify(*body, body->data);
    add(status_.sent, 1);
    add(status_.queued, 1);
    add(status_.bytes, body->size_bytes);
    if (shape_.by == PassBy::value && body->data != nullptr) {
        count_settled(*body);  // it came whole
        body->settled = true;
    }
    if (!is_to_be_copied(*body)) return;
    add_reference(body);
    to_fetch_.push(body);
    prefetch();
}

bool InChannel::is_to_be_copied(const PayloadBody& body) {
    if (body.data != nullptr) return false;
    if (shape_.by == PassBy::value) return true;
    return shape_.leg != Leg::to_broker && !way_to_owner(body).capabilities().maps;
}

Transport& InChannel::way_to_owner(const PayloadBody& body) {
    const Edge& edge = edges_[body.edge];
    if (body.owner == edge.peer) return *edge.transport;
    if (owners_.empty()) owners_.resize(reactor_.transports().ranks());
    Transport*& way = owners_[body.owner];
    if (way == nullptr) way = reactor_.transports().choose(body.owner, shape_.transport_to_owners()).transport;
    return *way;
}

std::optional<Block> InChannel::room_for_copy(std::uint64_t bytes) {
    if (shape_.by == PassBy::value) {
        // The coordinator's channels must not take each other's share: then none might come to an end. An operator
        // needs room for what it makes.
        const bool is_too_much = most_copied_ != 0 ? copied_ != 0 && copied_ + bytes > most_copied_
                                                   : arena_.used_bytes() + bytes > arena_.limit_bytes() / 2;
        if (is_too_much) return std::nullopt;
    }
    if (shape_.by == PassBy::reference && !drafts_.can_spare(bytes)) return std::nullopt;
    // Nobody else would say that it never fits.
    return never_waits() ? drafts_.try_allocate(bytes) : arena_.allocate(bytes);
}

void InChannel::prefetch() {
    while (fetches_ < most_fetches_ && !to_fetch_.empty()) {
        PayloadBody* body = to_fetch_.front();
        const bool wanted = body->data == nullptr && !body->fetching && !body->has_copy &&
                            body->refs.load(std::memory_order_relaxed) > 1;
        if (wanted) {
            const auto block = room_for_copy(stored_bytes(*body));
            if (!block) return;
            start_fetch(*body, *block);
        }
        drop_reference(to_fetch_.pop());
    }
}

/// Where it takes its time, one reference is held until the bytes are there.
void InChannel::start_fetch(PayloadBody& body, Block block) {
    body.block = block;
    body.has_block = true;
    Transport& transport = way_to_owner(body);
    const BlobRef blob{body.owner, body.blob_offset, stored_bytes(body)};
    copied_ += blob.bytes;
    std::byte* into = arena_.at(block.offset);
    if (transport.capabilities().maps) {
        std::memcpy(into, transport.map(blob), blob.bytes);
        return on_copied(body);
    }
    body.fetching = true;
    add_reference(&body);
    ++fetches_;
    transport.fetch(blob, {into, static_cast<std::size_t>(blob.bytes)}, reinterpret_cast<std::uintptr_t>(&body));
}

void InChannel::on_copied(PayloadBody& body) {
    body.has_copy = true;
    const bool is_as_sent = body.codec == Codec::none && (!body.has_checksum || never_waits());
    if (is_as_sent) body.data = arena_.at(body.block.offset);
    if (shape_.by == PassBy::reference) return;
    body.owner = drafts_.self();
    body.blob_offset = body.block.offset;
    count_settled(body);
    body.settled = true;
    unsaid_copies_ = true;
}

void InChannel::on_fetched(PayloadBody& body) {
    body.fetching = false;
    --fetches_;
    on_copied(body);
    drop_reference(&body);
    prefetch();
}

void InChannel::resolve(PayloadBody& body) {
    const std::byte* blob = stored(body);
    if (body.codec != Codec::none) return unpack(body, blob);
    verify(body, blob);
    body.data = blob;
}

/// The blob as its owner keeps it, here.
const std::byte* InChannel::stored(PayloadBody& body) {
    if (shape_.by == PassBy::reference) {
        Transport& transport = way_to_owner(body);
        if (transport.capabilities().maps) {
            return transport.map({body.owner, body.blob_offset, stored_bytes(body)});
        }
    }
    if (!body.fetching && !body.has_copy) {
        const Block block = drafts_.allocate(stored_bytes(body));
        // While it waited for memory the fetch may have begun.
        if (body.has_block) {
            arena_.release(block);
        } else {
            start_fetch(body, block);
        }
    }
    while (!body.has_copy) reactor_.wait(Activity::waiting_for_blob, shape_.number);
    reactor_.resume();
    return arena_.at(body.block.offset);
}

/// Copies that came ahead of the operator may lie where the room is needed. They can come again.
Block InChannel::room_to_unpack(std::uint64_t bytes) {
    auto block = drafts_.try_allocate(bytes);
    if (block) return *block;
    while (!block) {
        drafts_.collect();
        for (std::size_t i = 0; i < ready_.size(); ++i) static_cast<InChannel*>(ready_[i]->home)->drop_copy(*ready_[i]);
        block = drafts_.try_allocate(bytes);
        if (!block) reactor_.wait(Activity::waiting_for_memory, shape_.number);
    }
    reactor_.resume();
    return *block;
}

/// Of a queued payload, which nobody has looked at.
void InChannel::drop_copy(PayloadBody& body) noexcept {
    const bool is_unseen = body.has_copy && body.has_block && body.refs.load(std::memory_order_relaxed) == 1;
    if (!is_unseen || shape_.by == PassBy::value) return;
    arena_.release(body.block);
    copied_ -= stored_bytes(body);
    body.has_block = false;
    body.has_copy = false;
    body.data = nullptr;
}

void InChannel::unpack(PayloadBody& body, const std::byte* stored) {
    if (body.size_bytes > arena_.limit_bytes()) {
        refuse_blob(body, fmt::format("it is said to have {} bytes, more than the arena of {} MiB", body.size_bytes,
                                      arena_.limit_bytes() >> 20U));
    }
    const Block block = room_to_unpack(body.size_bytes);
    const std::span<std::byte> blob{arena_.at(block.offset), static_cast<std::size_t>(body.size_bytes)};
    try {
        if (!drafts_.codecs().unpack(body.codec, {stored, static_cast<std::size_t>(body.packed_bytes)}, blob)) {
            refuse_blob(body, fmt::format("its {} bytes are no {} of {} bytes", body.packed_bytes, name_of(body.codec),
                                          body.size_bytes));
        }
        verify(body, blob.data());
    } catch (...) {
        arena_.release(block);
        throw;
    }
    body.unpacked = block;
    body.has_unpacked = true;
    body.data = blob.data();
    // What others are told to fetch is the owner's, unless it is ours.
    if (!body.has_block || body.owner == drafts_.self()) return;
    arena_.release(body.block);
    copied_ -= body.packed_bytes;
    body.has_block = false;
}

void InChannel::verify(const PayloadBody& body, const std::byte* blob) const {
    if (!body.has_checksum) return;
    const std::uint32_t found = crc32c({blob, static_cast<std::size_t>(body.size_bytes)});
    if (found == body.checksum) return;
    refuse_blob(body, fmt::format("its crc32c is {:08x}, and was {:08x} when it was sent", found, body.checksum));
}

void InChannel::refuse_blob(const PayloadBody& body, const std::string& why) const {
    // The identity came over the wire: it need not name a rank of this run.
    const auto who = [this](Rank rank) {
        return rank < reactor_.transports().ranks() ? reactor_.label(rank) : fmt::format("rank {}", rank);
    };
    throw Error{
        Errc::disconnected,
        fmt::format("channel '{}': the blob of payload {} of {}, which {} keeps, is spoilt at {}: {}; it has "
                    "changed in memory or on its way",
                    shape_.name, body.id.sequence, who(body.id.instance), who(body.owner), who(drafts_.self()), why)};
}

void InChannel::retire(PayloadBody* body) noexcept {
    if (returned_.is_owner()) return settle(body);
    returned_.push(body);
    reactor_.wake();
}

void InChannel::settle(PayloadBody* body) noexcept {
    if (!body->settled) count_settled(*body);
    if (body->has_block) {
        arena_.release(body->block);
        copied_ -= stored_bytes(*body);
    }
    if (body->has_unpacked) arena_.release(body->unpacked);
    if (!body->packed.empty()) release_packed(*body, arena_);
    bodies_.put_back(body);
}

/// Gathers what its sender is to be told.
void InChannel::count_settled(const PayloadBody& body) noexcept {
    Edge& edge = edges_[body.edge];
    const std::uint64_t sequence = body.edge_sequence;
    ++edge.settled;
    add(status_.settled, 1);
    Returns& pending = edge.pending;
    if (pending.settled_count != 0 && pending.settled_first + pending.settled_count == sequence) {
        ++pending.settled_count;
        return;
    }
    if (pending.settled_count == 0) {
        pending.settled_first = sequence;
        pending.settled_count = 1;
        return;
    }
    edge.out_of_order.push(sequence);
}

void InChannel::return_credit(std::uint32_t index, std::uint64_t bytes) {
    Edge& edge = edges_[index];
    edge.pending.credit_bytes += bytes;
    if (shape_.dispatch == Dispatch::leased) {
        --under_way_;
        window_.served(ticks() - taken_at_);
        grant();
        if (++edge.unsaid < batch_) return;
        return flush(edge);
    }
    ++edge.pending.credit_payloads;
    if (edge.pending.credit_payloads >= batch_) flush(edge);
}

/// Lets more be sent, when a quarter of the window is free: the rest is granted still, so nothing waits for it.
void InChannel::grant() {
    const std::uint64_t size = window_.size();
    if (under_way_ >= size) return;
    const std::uint64_t more = size - under_way_;
    if (4 * more < size) return;
    under_way_ += more;
    if (to_coordinator_ == nullptr) {
        edges_[0].pending.credit_payloads += static_cast<std::uint32_t>(more);
        return flush(edges_[0]);
    }
    expected_ += more;
    reactor_.send(*to_coordinator_, 0,
                  LeaseFrame{.head = {0, shape_.number, FrameKind::grant, 0},
                             .receiver = 0,
                             .payloads = static_cast<std::uint32_t>(more)});
}

void InChannel::flush_returns() {
    returned_.drain([this](PayloadBody* body) { settle(body); });
    unsaid_copies_ = false;
    if (!to_fetch_.empty()) prefetch();  // lets go of those that were dropped meanwhile
    if (shape_.dispatch == Dispatch::leased && !ended()) grant();
    for (Edge& edge : edges_) flush(edge);
}

void InChannel::flush(Edge& edge) {
    const auto something = [](const Returns& returns) {
        return returns.settled_count != 0 || returns.credit_payloads != 0 || returns.credit_bytes != 0;
    };
    while (something(edge.pending)) {
        if (never_waits() && reactor_.try_reserve(*edge.transport, edge.peer, sizeof(Returns)).empty()) return;
        // Sending may wait and poll, and that may gather more: take what is there first.
        const Returns returns = std::exchange(edge.pending, Returns{});
        edge.unsaid = 0;
        while (!edge.out_of_order.empty()) {
            const std::uint64_t sequence = edge.out_of_order.front();
            if (edge.pending.settled_count == 0) {
                edge.pending.settled_first = sequence;
            } else if (edge.pending.settled_first + edge.pending.settled_count != sequence) {
                break;
            }
            ++edge.pending.settled_count;
            edge.out_of_order.pop();
        }
        Returns frame = returns;
        edge.credits += frame.credit_payloads;
        frame.head = {0, shape_.number, FrameKind::returns, 0};
        reactor_.send(*edge.transport, edge.peer, frame);
    }
}

bool InChannel::ended() const noexcept {
    return std::all_of(edges_.begin(), edges_.end(), [](const Edge& edge) { return edge.count.has_value(); });
}

bool InChannel::all_settled() const noexcept {
    return std::all_of(edges_.begin(), edges_.end(), [](const Edge& edge) { return edge.settled == edge.received; });
}

bool InChannel::acknowledge() {
    flush_returns();
    bool all_told = true;
    for (Edge& edge : edges_) {
        if (edge.acknowledged) continue;
        if (never_waits() && reactor_.try_reserve(*edge.transport, edge.peer, sizeof(End)).empty()) {
            all_told = false;
            continue;
        }
        edge.acknowledged = true;
        reactor_.send(*edge.transport, edge.peer,
                      End{.head = {0, shape_.number, FrameKind::end_ack, 0}, .count = edge.received});
    }
    return all_told;
}

}  // namespace penstock
