#include "transports/ofi/wire.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <rdma/fi_errno.h>

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

Wire::Wire(Device& device, Endpoint& endpoint, std::uint64_t run, Rank self, Rank ranks)
    : device_{device},
      endpoint_{endpoint},
      run_{run},
      self_{self},
      receives_{device, message_bytes(device), Operation::Role::receive},
      sends_{device, message_bytes(device), Operation::Role::send},
      ways_(ranks),
      injects_{endpoint.inject_bytes() >= sizeof(Head)} {
    completions_.reserve(usual_completions);
    arrived_.reserve(usual_completions);
    // From each rank: what it may send unasked, the notes about what we sent unasked, and a goodbye.
    receives_.add(std::size_t{2 * first_window + 1} * ranks);
    sends_.add(shared_sends);
}

bool Wire::send(Rank to, Head head, std::span<const std::byte> body) {
    head.run = run_;
    head.from = self_;
    if (head.kind == Kind::note && injects_) {
        const long result = endpoint_.inject(to, std::as_bytes(std::span{&head, 1}));
        if (result != -FI_ENOSYS && result != -FI_EOPNOTSUPP) {
            const bool is_taken = took(to, result);
            if (is_taken) on_completed(to);
            return is_taken;
        }
        injects_ = false;  // some providers tell a length, and do not
    }
    Slot* slot = sends_.take();
    if (slot == nullptr) return false;
    std::memcpy(slot->data, &head, sizeof head);
    if (!body.empty()) std::memcpy(slot->data + sizeof head, body.data(), body.size());
    slot->operation.peer = to;
    const long result = endpoint_.send(to, {slot->data, sizeof head + body.size()}, slot->descriptor, slot->operation);
    return began(*slot, to, result);
}

bool Wire::send_in_place(Rank to, Head head, std::span<const std::byte> body, void* descriptor) {
    if (!endpoint_.takes_two_pieces()) return send(to, head, body);
    head.run = run_;
    head.from = self_;
    Slot* slot = sends_.take();
    if (slot == nullptr) return false;
    std::memcpy(slot->data, &head, sizeof head);
    slot->operation.peer = to;
    const std::array<iovec, 2> pieces{iovec{slot->data, sizeof head},
                                      iovec{const_cast<std::byte*>(body.data()), body.size()}};
    const long result = endpoint_.send(to, pieces, {slot->descriptor, descriptor}, slot->operation);
    return began(*slot, to, result);
}

bool Wire::began(Slot& slot, Rank to, long result) {
    if (took(to, result)) {
        ++ways_[to].messages;
        return true;
    }
    sends_.give_back(slot);
    return false;
}

bool Wire::took(Rank peer, long result) {
    Way& way = ways_[peer];
    if (result == 0) {
        ++way.under_way;
        way.refused_since = {};
        return true;
    }
    refused_ = true;
    if (result != -FI_EAGAIN) {
        add_broken(peer, text_of(result));
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
        add_broken(peer, "it takes no messages any more");
    }
    return false;
}

void Wire::refill() {
    while (Slot* slot = receives_.take()) {
        if (endpoint_.receive({slot->data, receives_.bytes()}, slot->descriptor, slot->operation) == 0) continue;
        receives_.give_back(*slot);  // the provider's queue is full: what is posted has to do
        return;
    }
}

void Wire::progress(std::vector<Completion>& completions) {
    refill();
    completions_.clear();
    endpoint_.progress(completions_);
    for (Completion& completion : completions_) {
        Operation* operation = completion.operation;
        if (operation == nullptr) continue;  // an error of nothing that we know: somebody else's misses it
        switch (operation->role) {
            case Operation::Role::receive:
                if (completion.error == 0) {
                    arrived_.push_back({&receives_.of(*operation), completion.bytes});
                } else {
                    release(receives_.of(*operation));
                }
                break;
            case Operation::Role::send:
                on_completed(operation->peer);
                --ways_[operation->peer].messages;
                sends_.give_back(sends_.of(*operation));
                if (completion.error != 0) {
                    add_broken(operation->peer, std::move(completion.what));
                } else {
                    on_met(operation->peer);
                }
                break;
            default: completions.push_back(std::move(completion)); break;
        }
    }
    if (!device_.limits().in_order) shuffle();
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
    if (!device_.limits().in_order && random_() % 4 == 0) return false;
    arrived = arrived_[next_++];
    return true;
}

}  // namespace penstock::ofi
