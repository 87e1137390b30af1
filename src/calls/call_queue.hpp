#pragma once

#include <functional>
#include <mutex>
#include <string_view>

#include "base/fifo.hpp"
#include "memory/payload_body.hpp"

namespace penstock {

/// What goes from the callers' threads to the thread that sends.
class CallQueue {
public:
    struct Item {
        PayloadBody* body = nullptr;  ///< One reference.
        std::string_view edge = {};   ///< Empty for all.
    };
    enum class State : std::uint8_t { item, empty, closed };

    /// @return false once it is closed; the item stays the caller's.
    [[nodiscard]] bool push(Item item) {
        const std::lock_guard lock{mutex_};
        if (closed_) return false;
        items_.push(item);
        if (asleep_ && wake_) wake_();
        asleep_ = false;
        return true;
    }
    /// After `empty` the next push wakes. `closed` comes when all is taken.
    [[nodiscard]] State pop(Item& item) {
        const std::lock_guard lock{mutex_};
        asleep_ = items_.empty() && !closed_;
        if (items_.empty()) return closed_ ? State::closed : State::empty;
        item = items_.pop();
        return State::item;
    }
    void close() {
        const std::lock_guard lock{mutex_};
        closed_ = true;
        if (wake_) wake_();
    }
    [[nodiscard]] bool is_closed() {
        const std::lock_guard lock{mutex_};
        return closed_;
    }
    /// How to wake who pops; nothing when nobody does any more.
    void set_wake(std::function<void()> wake) {
        const std::lock_guard lock{mutex_};
        wake_ = std::move(wake);
    }

private:
    std::mutex mutex_;
    Fifo<Item> items_{64};
    std::function<void()> wake_;
    bool closed_ = false;
    bool asleep_ = false;
};

}  // namespace penstock
