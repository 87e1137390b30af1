#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

#include "memory/arena.hpp"
#include "memory/payload_body.hpp"

namespace penstock {

/// A home for bodies that the program holds: on any thread, and for longer than the run if it likes. Until the last of
/// them is back they keep this object and the memory that they point into.
class LentBodies : public PayloadHome, public std::enable_shared_from_this<LentBodies> {
public:
    /// What the bodies point into.
    void set_memory(std::shared_ptr<Arena> arena) {
        const std::lock_guard lock{mutex_};
        arena_ = std::move(arena);
    }

    /// The run settles nothing any more; what comes back from now on was dropped.
    virtual void on_end() noexcept {}

protected:
    /// Keeps what has to be kept alive until it is destroyed: after the lock.
    struct Kept {
        std::shared_ptr<LentBodies> self;
        std::shared_ptr<Arena> arena;
    };

    [[nodiscard]] PayloadBody* lend() {
        PayloadBody* body = bodies_.take();
        body->home = this;
        ++lent_;
        return body;
    }
    void take_back(PayloadBody* body, Kept& kept) noexcept {
        bodies_.put_back(body);
        --lent_;
        if (run_is_over_) let_go(kept);
    }
    /// From now on nothing of the run is left but what the bodies keep.
    void end_run(Kept& kept) noexcept {
        run_is_over_ = true;
        self_ = weak_from_this().lock();
        let_go(kept);
    }

    std::mutex mutex_;  // for everything here
    std::shared_ptr<Arena> arena_;
    bool run_is_over_ = false;

private:
    void let_go(Kept& kept) noexcept {
        if (lent_ != 0) return;
        kept.self = std::move(self_);
        kept.arena = std::move(arena_);
    }

    BodyPool bodies_;
    std::size_t lent_ = 0;
    std::shared_ptr<LentBodies> self_;
};

}  // namespace penstock
