#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include <penstock/error.hpp>

#include "runtime/reactor.hpp"

namespace penstock {

/// Steers a run from other threads of the coordinator's process. What is asked before the run comes up is done then.
class RunControl {
public:
    struct Wishes {
        bool stop = false;
        bool look = false;
        std::optional<Error> abort = {};
    };

    /// The sources end and everything under way drains.
    void stop() {
        wish([](Wishes& wishes) { wishes.stop = true; });
    }
    /// The run fails at once.
    void abort(const Error& reason) {
        wish([&](Wishes& wishes) { wishes.abort = reason; });
    }
    /// Asks for a snapshot now.
    void look() {
        wish([](Wishes& wishes) { wishes.look = true; });
    }

    /// For the coordinator: whom a wish wakes; null when the run is over.
    void attach(Reactor* reactor) {
        const std::lock_guard lock{mutex_};
        reactor_ = reactor;
    }
    /// For the coordinator: what was wished since. Cheap when nothing was.
    [[nodiscard]] Wishes take() {
        if (!pending_.load(std::memory_order_relaxed)) return {};
        const std::lock_guard lock{mutex_};
        pending_.store(false, std::memory_order_relaxed);
        return std::exchange(wishes_, {});
    }

private:
    template <class Wish>
    void wish(const Wish& add) {
        const std::lock_guard lock{mutex_};
        add(wishes_);
        pending_.store(true, std::memory_order_relaxed);
        if (reactor_ != nullptr) reactor_->wake();
    }

    std::mutex mutex_;
    std::atomic<bool> pending_{false};
    Wishes wishes_;
    Reactor* reactor_ = nullptr;
};

}  // namespace penstock
