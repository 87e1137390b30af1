#include "runtime/in_channel.hpp"

#include <algorithm>
#include <cstring>

namespace penstock {
namespace {

/// More in flight brings no more bandwidth, only more memory.
constexpr std::size_t fetches_in_flight = 4;

}  // namespace

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
    }
    if (shape_.asks_coordinator()) to_coordinator_ = &reactor_.connect(0, "auto");
    reactor_.set_input(shape_.number, this);
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
    ready_.push(body);
    add(status_.sent, 1);
    add(status_.queued, 1);
    add(status_.bytes, body->size_bytes);
    if (body->data == nullptr && !edge.transport->capabilities().maps) {
        add_reference(body);
        to_fetch_.push(body);
        prefetch();
    }
}

void InChannel::prefetch() {
    while (fetches_ < fetches_in_flight && !to_fetch_.empty()) {
        PayloadBody* body = to_fetch_.front();
        const bool wanted = body->data == nullptr && !body->fetching && body->refs.load(std::memory_order_relaxed) > 1;
        if (wanted) {
            const auto block = arena_.allocate(body->size_bytes);
            if (!block) return;
            body->block = *block;
            body->has_block = true;
            start_fetch(*body);
        }
        drop_reference(to_fetch_.pop());
    }
}

/// REQUIRES: body.block is there. One reference is held until the bytes are.
void InChannel::start_fetch(PayloadBody& body) {
    body.fetching = true;
    add_reference(&body);
    ++fetches_;
    const Edge& edge = edges_[body.edge];
    Transport& transport = body.owner == edge.peer
                               ? *edge.transport
                               : *reactor_.transports().choose(body.owner, shape_.transport).transport;
    transport.fetch({body.owner, body.blob_offset, body.size_bytes},
                    {arena_.at(body.block.offset), static_cast<std::size_t>(body.size_bytes)},
                    reinterpret_cast<std::uintptr_t>(&body));
}

void InChannel::on_fetched(PayloadBody& body) {
    body.fetching = false;
    body.data = arena_.at(body.block.offset);
    --fetches_;
    drop_reference(&body);
    prefetch();
}

void InChannel::resolve(PayloadBody& body) {
    Edge& edge = edges_[body.edge];
    if (edge.transport->capabilities().maps) {
        body.data = edge.transport->map({body.owner, body.blob_offset, body.size_bytes});
        return;
    }
    if (!body.fetching) {
        body.block = drafts_.allocate(body.size_bytes);
        body.has_block = true;
        start_fetch(body);
    }
    while (body.data == nullptr) reactor_.wait(Activity::waiting_for_blob, shape_.number);
}

void InChannel::retire(PayloadBody* body) noexcept {
    if (returned_.is_owner()) return settle(body);
    returned_.push(body);
    reactor_.wake();
}

void InChannel::settle(PayloadBody* body) noexcept {
    Edge& edge = edges_[body->edge];
    const std::uint64_t sequence = body->edge_sequence;
    if (body->has_block) arena_.release(body->block);
    bodies_.put_back(body);
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
    if (shape_.dispatch == Dispatch::leased && !ended()) grant();
    for (Edge& edge : edges_) flush(edge);
}

void InChannel::flush(Edge& edge) {
    const auto something = [](const Returns& returns) {
        return returns.settled_count != 0 || returns.credit_payloads != 0 || returns.credit_bytes != 0;
    };
    while (something(edge.pending)) {
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

void InChannel::acknowledge() {
    flush_returns();
    for (Edge& edge : edges_) {
        reactor_.send(*edge.transport, edge.peer,
                      End{.head = {0, shape_.number, FrameKind::end_ack, 0}, .count = edge.received});
    }
}

}  // namespace penstock
