#include "transports/ofi/wire.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <rdma/fi_errno.h>

#include "transports/ofi/rails.hpp"

namespace penstock::ofi {
namespace {

using namespace std::chrono_literals;

/// What ofi_rxm sends at once.
constexpr std::size_t usual_bytes = 16U << 10U;
/// A connection that was there before and is not made again in this time is gone.
constexpr auto longest_refusal = 1s;
constexpr std::size_t shared_sends = 32;
constexpr std::size_t usual_completions = 1024;

}  // namespace

std::size_t Wire::message_bytes(const Device& device) noexcept {
    return std::min(usual_bytes, device.longest_message()) / 8 * 8;
}

Wire::Wire(const std::vector<Rail>& rails, std::size_t message_bytes, std::uint64_t run, Rank self, Rank ranks)
    : message_bytes_{message_bytes},
      run_{run},
      self_{self},
      ranks_{ranks},
      injects_{rails.front().endpoint->inject_bytes() >= sizeof(Head)} {
    completions_.reserve(usual_completions);
    arrived_.reserve(usual_completions);
    for (const Rail& rail : rails) {
        const std::uint32_t number = this->rails();
        lanes_.push_back({.device = *rail.device,
                          .endpoint = *rail.endpoint,
                          .arena = *rail.arena,
                          .receives = {*rail.device, message_bytes, Operation::Role::receive, number},
                          .sends = {*rail.device, message_bytes, Operation::Role::send, number},
                          .ways = std::vector<Way>(ranks)});
        lanes_.back().sends.add(shared_sends);
    }
    // From each rank: what it may send unasked, the notes about what we sent unasked, and a goodbye.
    add_receives(std::size_t{2 * first_window + 1} * ranks);
}

std::string Wire::name_of(std::uint32_t rail) const {
    if (lanes_.size() == 1) return {};
    const char* device = lanes_[rail].device.info().domain_attr->name;
    return ", on rail " + std::to_string(rail) + " (" + (device == nullptr ? "?" : device) + ")";
}

std::size_t Wire::on_way() const noexcept {
    std::size_t all = 0;
    for (const Lane& lane : lanes_) all += lane.sends.in_use();
    return all;
}

bool Wire::send(Rank to, Head head, std::span<const std::byte> body) {
    Lane& lane = lanes_.front();
    head.run = run_;
    head.from = self_;
    if (head.kind == Kind::note && injects_) {
        const long result = lane.endpoint.inject(to, std::as_bytes(std::span{&head, 1}));
        if (result != -FI_ENOSYS && result != -FI_EOPNOTSUPP) {
            const bool is_taken = took(to, 0, result);
            if (is_taken) --way(to, 0).under_way;
            return is_taken;
        }
        injects_ = false;  // some providers tell a length, and do not
    }
    Slot* slot = lane.sends.take();
    if (slot == nullptr) return false;
    std::memcpy(slot->data, &head, sizeof head);
    if (!body.empty()) std::memcpy(slot->data + sizeof head, body.data(), body.size());
    slot->operation.peer = to;
    return began(lane, *slot,
                 lane.endpoint.send(to, {slot->data, sizeof head + body.size()}, slot->descriptor, slot->operation));
}

bool Wire::send_in_place(Rank to, std::uint32_t rail, Head head, std::span<const std::byte> body) {
    Lane& lane = lanes_[rail];
    head.run = run_;
    head.from = self_;
    Slot* slot = lane.sends.take();
    if (slot == nullptr) return false;
    slot->operation.peer = to;
    std::memcpy(slot->data, &head, sizeof head);
    if (!lane.endpoint.takes_two_pieces()) {
        std::memcpy(slot->data + sizeof head, body.data(), body.size());
        return began(
            lane, *slot,
            lane.endpoint.send(to, {slot->data, sizeof head + body.size()}, slot->descriptor, slot->operation));
    }
    const std::array<iovec, 2> pieces{iovec{slot->data, sizeof head},
                                      iovec{const_cast<std::byte*>(body.data()), body.size()}};
    return began(lane, *slot,
                 lane.endpoint.send(to, pieces, {slot->descriptor, lane.arena.descriptor()}, slot->operation));
}

bool Wire::began(Lane& lane, Slot& slot, long result) {
    if (took(slot.operation, result)) {
        ++way(slot.operation.peer, slot.operation.rail).messages;
        return true;
    }
    lane.sends.give_back(slot);
    return false;
}

bool Wire::took(Rank peer, std::uint32_t rail, long result) {
    Way& way = this->way(peer, rail);
    if (result == 0) {
        ++way.under_way;
        way.refused_since = {};
        return true;
    }
    refused_ = true;
    if (result != -FI_EAGAIN) {
        add_broken(peer, rail, text_of(result));
        return false;
    }
    // A peer that computes takes nothing for a while, but then something is under way to it. Where nothing is,
    // libfabric makes a connection, for ever, even if nobody is there any more.
    const auto now = SteadyClock::now();
    if (!way.is_met || way.under_way != 0) {
        way.refused_since = {};
    } else if (way.refused_since == SteadyClock::time_point{}) {
        way.refused_since = now;
    } else if (now - way.refused_since > longest_refusal) {
        way.refused_since = {};
        add_broken(peer, rail, "it takes no messages any more");
    }
    return false;
}

void Wire::refill() {
    for (Lane& lane : lanes_) refill(lane);
}

void Wire::refill(Lane& lane) {
    while (Slot* slot = lane.receives.take()) {
        if (lane.endpoint.receive({slot->data, message_bytes_}, slot->descriptor, slot->operation) == 0) continue;
        lane.receives.give_back(*slot);  // the provider's queue is full: what is posted has to do
        return;
    }
}

void Wire::progress(std::vector<Completion>& completions) {
    for (Lane& lane : lanes_) {
        refill(lane);
        completions_.clear();
        lane.endpoint.progress(completions_);
        for (Completion& completion : completions_) handle(lane, completion, completions);
    }
    if (!lanes_.front().device.limits().in_order) shuffle();
}

void Wire::handle(Lane& lane, Completion& completion, std::vector<Completion>& others) {
    Operation* operation = completion.operation;
    if (operation == nullptr) return;  // an error of nothing that we know: somebody else's misses it
    switch (operation->role) {
        case Operation::Role::receive:
            if (completion.error == 0) {
                arrived_.push_back({&lane.receives.of(*operation), completion.bytes});
            } else {
                release(lane.receives.of(*operation));
            }
            break;
        case Operation::Role::send:
            on_completed(*operation);
            --way(operation->peer, operation->rail).messages;
            lane.sends.give_back(lane.sends.of(*operation));
            if (completion.error != 0) {
                add_broken(*operation, std::move(completion.what));
            } else {
                on_met(operation->peer, operation->rail);
            }
            break;
        default: others.push_back(std::move(completion)); break;
    }
}

void Wire::shuffle() {
    std::shuffle(arrived_.begin() + static_cast<std::ptrdiff_t>(next_), arrived_.end(), random_);
}

bool Wire::take(Arrived& arrived) noexcept {
    if (next_ == arrived_.size()) {
        arrived_.clear();
        next_ = 0;
        return false;
    }
    // Overtaken not only by what came with it.
    if (!lanes_.front().device.limits().in_order && random_() % 4 == 0) return false;
    arrived = arrived_[next_++];
    return true;
}

}  // namespace penstock::ofi
