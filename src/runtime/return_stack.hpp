#pragma once

#include <atomic>
#include <thread>

#include "memory/payload_body.hpp"

namespace penstock {

/// Brings bodies that other threads dropped back to the thread that owns them. Push: any thread, lock-free.
class ReturnStack {
public:
    [[nodiscard]] bool is_owner() const noexcept { return std::this_thread::get_id() == owner_; }

    void push(PayloadBody* body) noexcept {
        body->next = head_.load(std::memory_order_relaxed);
        while (!head_.compare_exchange_weak(body->next, body, std::memory_order_release, std::memory_order_relaxed)) {
        }
    }

    /// Gives every body pushed so far to `take`. REQUIRES: is_owner().
    template <class Take>
    void drain(Take&& take) {
        if (head_.load(std::memory_order_relaxed) == nullptr) return;
        PayloadBody* body = head_.exchange(nullptr, std::memory_order_acquire);
        while (body != nullptr) {
            PayloadBody* next = body->next;
            take(body);
            body = next;
        }
    }

private:
    std::thread::id owner_ = std::this_thread::get_id();
    std::atomic<PayloadBody*> head_{nullptr};
};

}  // namespace penstock
