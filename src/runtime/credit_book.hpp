#pragma once

#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace penstock {

/// Credits by receiver, and which receiver has most: a heap of receivers that knows where each one is, so that a change
/// costs the logarithm of their number. Credits of a parked receiver are put aside.
class CreditBook {
public:
    explicit CreditBook(std::uint32_t receivers)
        : credits_(receivers), aside_(receivers), parked_(receivers), heap_(receivers), place_(receivers) {
        std::iota(heap_.begin(), heap_.end(), 0U);
        std::iota(place_.begin(), place_.end(), 0U);
    }

    [[nodiscard]] std::uint32_t receivers() const noexcept { return static_cast<std::uint32_t>(credits_.size()); }
    /// Of a parked one, too.
    [[nodiscard]] std::uint64_t of(std::uint32_t receiver) const noexcept {
        return credits_[receiver] + aside_[receiver];
    }
    /// That may be taken.
    [[nodiscard]] std::uint64_t total() const noexcept { return total_; }

    void park(std::uint32_t receiver) noexcept {
        parked_[receiver] = true;
        aside_[receiver] += credits_[receiver];
        total_ -= std::exchange(credits_[receiver], 0);
        sink(place_[receiver]);
    }
    void unpark(std::uint32_t receiver) noexcept {
        parked_[receiver] = false;
        add(receiver, std::exchange(aside_[receiver], 0));
    }

    void add(std::uint32_t receiver, std::uint64_t credits) noexcept {
        if (parked_[receiver]) {
            aside_[receiver] += credits;
            return;
        }
        credits_[receiver] += credits;
        total_ += credits;
        rise(place_[receiver]);
    }

    /// Takes one credit of the receiver that has most, of equal ones the first. REQUIRES: total() > 0.
    [[nodiscard]] std::uint32_t take() noexcept {
        const std::uint32_t receiver = heap_[0];
        --credits_[receiver];
        --total_;
        sink(0);
        return receiver;
    }

private:
    [[nodiscard]] bool is_above(std::uint32_t a, std::uint32_t b) const noexcept {
        return credits_[a] != credits_[b] ? credits_[a] > credits_[b] : a < b;
    }
    void put(std::uint32_t place, std::uint32_t receiver) noexcept {
        heap_[place] = receiver;
        place_[receiver] = place;
    }
    void rise(std::uint32_t place) noexcept {
        const std::uint32_t receiver = heap_[place];
        for (; place != 0 && is_above(receiver, heap_[(place - 1) / 2]); place = (place - 1) / 2) {
            put(place, heap_[(place - 1) / 2]);
        }
        put(place, receiver);
    }
    void sink(std::uint32_t place) noexcept {
        const std::uint32_t receiver = heap_[place];
        for (;;) {
            std::uint32_t child = 2 * place + 1;
            if (child >= heap_.size()) break;
            if (child + 1 < heap_.size() && is_above(heap_[child + 1], heap_[child])) ++child;
            if (!is_above(heap_[child], receiver)) break;
            put(place, heap_[child]);
            place = child;
        }
        put(place, receiver);
    }

    // By receiver:
    std::vector<std::uint64_t> credits_;
    std::vector<std::uint64_t> aside_;
    std::vector<bool> parked_;
    std::uint64_t total_ = 0;
    std::vector<std::uint32_t> heap_;   // receivers
    std::vector<std::uint32_t> place_;  // by receiver: where it is in the heap
};

}  // namespace penstock
