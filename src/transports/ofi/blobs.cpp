#include "transports/ofi/blobs.hpp"

#include <algorithm>
#include <utility>

#include <rdma/fi_errno.h>

namespace penstock::ofi {
namespace {

constexpr std::size_t usual = 256;
/// Of a blob on several rails; less is not worth the way there and back.
constexpr std::size_t shortest_share = 256U << 10U;
constexpr std::uint32_t parts_of_a_rail = 4;
/// What chunks leave of the buffers for sending.
constexpr std::size_t kept_for_frames = 4;

}  // namespace

Blobs::Blobs(Wire& wire, const Arena& arena, Peers& peers, const RemoteArenas& arenas, bool reads)
    : wire_{wire},
      arena_{arena},
      peers_{peers},
      arenas_{arenas},
      reads_{reads},
      longest_chunk_{wire.room()},
      chunks_{wire.window() / 2} {
    free_fetches_.reserve(usual);
    free_sends_.reserve(usual);
    ended_.reserve(usual);
    replies_.reserve(usual);
}

void Blobs::use(const Thresholds& thresholds) {
    longest_part_ = thresholds.chunk_bytes;
    // Of a process with several channels. More at a time only compete for the caches.
    const std::uint32_t at_a_time = 2 * thresholds.in_flight;
    // As many on each rail.
    const std::uint32_t of_a_rail = std::max(parts_of_a_rail, (at_a_time + wire_.rails() - 1) / wire_.rails());
    while (!free_parts_.empty()) static_cast<void>(free_parts_.pop());
    for (std::uint32_t number = 0; number < of_a_rail * wire_.rails(); ++number) {
        free_parts_.push(number);
        if (number < parts_.size()) continue;
        Part& part = parts_.emplace_back();
        part.operation.number = number;
        part.operation.rail = number % wire_.rails();
        wire_.add_receives(chunks_, part.operation.rail);
    }
}

// --- fetching ---

void Blobs::fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token, How how) {
    const RemoteArena& arena = arenas_.front()[blob.owner];
    if (blob.offset > arena.bytes || into.size() > arena.bytes - blob.offset) {
        ended_.push_back({token, "it lies outside the owner's arena"});
        return;
    }
    if (into.empty() || peers_[blob.owner]->gone()) {
        ended_.push_back({token, into.empty() ? "" : "its owner is gone"});
        return;
    }
    if (free_fetches_.empty()) {
        free_fetches_.reserve(fetches_.size() + 1);
        free_fetches_.push_back(static_cast<std::uint32_t>(fetches_.size()));
        fetches_.emplace_back();
    }
    const std::uint32_t number = free_fetches_.back();
    free_fetches_.pop_back();
    fetches_[number] = {.blob = blob,
                        .into = into,
                        .token = token,
                        .asked = 0,
                        .parts = 0,
                        .how = how,
                        .is_open = true,
                        .is_waiting = true};
    waiting_.push(number);
    go_on();
}

void Blobs::go_on() {
    for (Part& part : parts_) {
        if (part.is_to_ask) part.is_to_ask = !ask(part, Kind::demand_tagged);
    }
    // Each gets its turn once: one whose owner takes nothing does not keep the others.
    for (std::size_t turns = waiting_.size(); turns > 0 && !free_parts_.empty(); --turns) {
        const std::uint32_t number = waiting_.pop();
        Fetch& fetch = fetches_[number];
        while (fetch.is_open && fetch.asked < fetch.into.size() && begin_part(number)) {
        }
        if (fetch.is_open && fetch.asked < fetch.into.size()) {
            waiting_.push(number);
            continue;
        }
        fetch.is_waiting = false;
        if (!fetch.is_open) free_fetch(number);
    }
    for (std::size_t i = 0; i < replies_.size();) {
        if (!go_on(replies_[i])) {
            ++i;
            continue;
        }
        replies_[i] = replies_.back();
        replies_.pop_back();
    }
}

bool Blobs::lies_in_arena(std::span<const std::byte> bytes) const noexcept {
    const auto offset = static_cast<std::uint64_t>(bytes.data() - arena_.base());
    return offset <= arena_.limit_bytes() && bytes.size() <= arena_.limit_bytes() - offset;
}

bool Blobs::may_use_directly(const Fetch& fetch) const noexcept {
    return !wire_.device().needs_descriptors() || lies_in_arena(fetch.into);
}

std::size_t Blobs::share_of_a_rail(const Fetch& fetch) const noexcept {
    const std::size_t bytes = (fetch.into.size() + wire_.rails() - 1) / wire_.rails();
    return std::max<std::size_t>((bytes + 4095) / 4096 * 4096, fetch.how == How::best ? shortest_share : 1);
}

bool Blobs::begin_part(std::uint32_t number) {
    if (free_parts_.empty()) return false;
    Fetch& fetch = fetches_[number];
    Part& part = parts_[free_parts_.front()];
    const std::size_t left = fetch.into.size() - fetch.asked;
    const bool directly = may_use_directly(fetch);
    const bool read = reads_ && fetch.how != How::try_owners && directly;
    const bool tagged = !read && wire_.device().tagged() && directly && left > longest_chunk_;
    const std::size_t longest = read     ? std::min(longest_part_, wire_.device().info().ep_attr->max_msg_size)
                                : tagged ? std::min(longest_part_, wire_.device().longest_message())
                                         : longest_chunk_ * chunks_;
    part.into = fetch.into.subspan(fetch.asked, std::min({left, longest, share_of_a_rail(fetch)}));
    part.offset = fetch.blob.offset + fetch.asked;
    part.got = 0;
    part.operation.peer = fetch.blob.owner;
    ++part.turn;
    const bool begun = read ? begin_read(fetch, part) : tagged ? begin_tagged(fetch, part) : ask(part, Kind::demand);
    if (!begun && fetch.how != How::best) return false;
    const std::uint32_t taken = free_parts_.pop();
    if (!begun) free_parts_.push(taken);  // another rail may take it
    if (!begun) return false;
    part.fetch = number;
    fetch.asked += part.into.size();
    ++fetch.parts;
    return true;
}

bool Blobs::begin_read(const Fetch& fetch, Part& part) {
    const std::uint32_t rail = part.operation.rail;
    const RemoteArena& arena = arenas_[rail][fetch.blob.owner];
    part.operation.role = Operation::Role::read;
    part.is_under_way =
        wire_.took(part.operation, wire_.endpoint(rail).read(fetch.blob.owner, part.into, wire_.arena_descriptor(rail),
                                                             arena.begin + part.offset, arena.key, part.operation));
    return part.is_under_way;
}

bool Blobs::begin_tagged(const Fetch& fetch, Part& part) {
    const std::uint32_t rail = part.operation.rail;
    part.operation.role = Operation::Role::receive_blob;
    part.is_under_way = wire_.endpoint(rail).receive_tagged(fetch.blob.owner, part.into, wire_.arena_descriptor(rail),
                                                            tag_of(part), part.operation) == 0;
    if (part.is_under_way) part.is_to_ask = !ask(part, Kind::demand_tagged);
    return part.is_under_way;
}

bool Blobs::ask(Part& part, Kind kind) {
    const Operation& operation = part.operation;
    return peers_[operation.peer]->demand(kind, operation.rail, tag_of(part), part.offset, part.into.size());
}

std::uint64_t Blobs::tag_of(const Part& part) const noexcept {
    const std::uint64_t run = wire_.run() >> 32U << 32U;
    return run | (part.turn & 0xFFFFFFU) << 8U | part.operation.number;
}

bool Blobs::on_chunk(const Head& head, std::span<const std::byte> bytes) {
    const std::uint64_t number = head.tag & 0xFFU;
    if (number >= parts_.size()) return false;
    Part& part = parts_[number];
    if (part.fetch == nobody || tag_of(part) != head.tag) return true;  // it was given up meanwhile
    if (part.operation.peer != head.from || part.is_under_way || bytes.empty()) return false;
    if (head.offset > part.into.size() || bytes.size() > part.into.size() - head.offset) return false;
    if (bytes.size() > part.into.size() - part.got) return false;
    std::copy(bytes.begin(), bytes.end(), part.into.begin() + static_cast<std::ptrdiff_t>(head.offset));
    part.got += bytes.size();
    if (part.got == part.into.size()) end_part(part);
    return true;
}

void Blobs::on_completed(const Completion& completion) {
    Operation& operation = *completion.operation;
    if (operation.role == Operation::Role::send_blob) {
        wire_.on_completed(operation);
        free_sends_.push_back(operation.number);
        note_outcome(completion);
        return;
    }
    Part& part = parts_[operation.number];
    part.is_under_way = false;
    part.is_to_ask = false;
    if (operation.role == Operation::Role::read) {
        wire_.on_completed(operation);
        note_outcome(completion);
    } else if (completion.error == 0) {
        wire_.on_met(operation.peer, operation.rail);
    }
    if (part.fetch == nobody) return free_part(part);  // told already
    on_received(part, completion);
}

/// Of what libfabric did on its own account.
void Blobs::note_outcome(const Completion& completion) {
    const Operation& operation = *completion.operation;
    if (completion.error != 0) {
        wire_.add_broken(operation, completion.what);
    } else {
        wire_.on_met(operation.peer, operation.rail);
    }
}

std::string Blobs::rails_in_use() const {
    std::string text;
    for (std::uint32_t rail = 0; rail < wire_.rails(); ++rail) {
        const bool is_used = std::any_of(parts_.begin(), parts_.end(), [rail](const Part& part) {
            return part.fetch != nobody && part.operation.rail == rail;
        });
        if (is_used) text += wire_.name_of(rail);
    }
    return text;
}

void Blobs::on_received(Part& part, const Completion& completion) {
    const bool is_read = part.operation.role == Operation::Role::read;
    const std::size_t expected = part.into.size();
    if (completion.error == 0 && (is_read || completion.bytes == expected)) return end_part(part);
    std::string what = completion.what;
    if (completion.error == 0 || completion.error == FI_ETRUNC) {
        what = "its owner sent " + (completion.error == 0 ? std::to_string(completion.bytes) : std::string{"more"}) +
               " bytes instead of " + std::to_string(expected);
    }
    end(part.fetch, std::move(what));
}

void Blobs::end_part(Part& part) {
    const std::uint32_t number = part.fetch;
    Fetch& fetch = fetches_[number];
    free_part(part);
    if (--fetch.parts == 0 && fetch.asked == fetch.into.size()) end(number, {});
}

void Blobs::free_part(Part& part) {
    part.fetch = nobody;
    free_parts_.push(part.operation.number);
}

void Blobs::free_fetch(std::uint32_t number) {
    free_fetches_.push_back(number);
}

void Blobs::end(std::uint32_t number, std::string error) {
    Fetch& fetch = fetches_[number];
    fetch.is_open = false;
    ended_.push_back({fetch.token, std::move(error)});
    for (Part& part : parts_) {
        if (part.fetch != number) continue;
        part.fetch = nobody;
        part.is_to_ask = false;
        if (part.is_under_way) {
            // What is on its way already cannot be stopped; then it ends with the connection.
            wire_.endpoint(part.operation.rail).cancel(part.operation);
        } else {
            free_part(part);
        }
    }
    if (!fetch.is_waiting) free_fetch(number);
}

void Blobs::give_up(Rank owner, const std::string& reason) {
    for (std::uint32_t number = 0; number < fetches_.size(); ++number) {
        if (fetches_[number].is_open && fetches_[number].blob.owner == owner) end(number, reason);
    }
    std::erase_if(replies_, [owner](const Reply& reply) { return reply.to == owner; });
}

std::size_t Blobs::deliver(TransportEvents& events) {
    std::size_t count = 0;
    while (told_ < ended_.size()) {
        const Ended one = std::move(ended_[told_++]);
        ++count;
        events.on_fetched(one.token, one.error);
    }
    ended_.clear();
    told_ = 0;
    return count;
}

// --- answering ---

bool Blobs::on_demand(const Head& demand) {
    const std::uint64_t limit = arena_.limit_bytes();
    if (demand.rail >= wire_.rails() || demand.bytes == 0 || demand.offset > limit ||
        demand.bytes > limit - demand.offset)
        return false;
    const auto asked =
        std::count_if(replies_.begin(), replies_.end(), [&](const Reply& reply) { return reply.to == demand.from; });
    if (static_cast<std::size_t>(asked) >= most_replies_to_one) return false;
    const bool tagged = demand.kind == Kind::demand_tagged;
    if (tagged && (!wire_.device().tagged() || demand.bytes > wire_.device().longest_message())) return false;
    replies_.push_back({.to = demand.from,
                        .rail = demand.rail,
                        .tagged = tagged,
                        .tag = demand.tag,
                        .bytes = {arena_.at(demand.offset), static_cast<std::size_t>(demand.bytes)},
                        .sent = 0});
    return true;
}

bool Blobs::go_on(Reply& reply) {
    Peer& peer = *peers_[reply.to];
    if (peer.state != Peer::State::here) return false;  // one that is gone is given up
    if (reply.tagged) return send_tagged(reply);
    while (reply.sent < reply.bytes.size()) {
        if (wire_.free_sends(reply.rail) <= (reply.rail == 0 ? kept_for_frames : 0)) return false;
        const auto chunk = reply.bytes.subspan(reply.sent, std::min(reply.bytes.size() - reply.sent, longest_chunk_));
        if (!peer.send_chunk(reply.rail, reply.tag, reply.sent, chunk)) return false;
        reply.sent += chunk.size();
    }
    answered_bytes_ += reply.bytes.size();
    return true;
}

bool Blobs::send_tagged(const Reply& reply) {
    if (free_sends_.empty()) {
        free_sends_.reserve(sends_.size() + 1);
        free_sends_.push_back(static_cast<std::uint32_t>(sends_.size()));
        Operation& added = sends_.emplace_back();
        added.role = Operation::Role::send_blob;
        added.number = free_sends_.back();
    }
    Operation& operation = sends_[free_sends_.back()];
    operation.peer = reply.to;
    operation.rail = reply.rail;
    const long result =
        wire_.endpoint(reply.rail)
            .send_tagged(reply.to, reply.bytes, wire_.arena_descriptor(reply.rail), reply.tag, operation);
    if (!wire_.took(operation, result)) return false;
    free_sends_.pop_back();
    answered_bytes_ += reply.bytes.size();
    return true;
}

}  // namespace penstock::ofi
