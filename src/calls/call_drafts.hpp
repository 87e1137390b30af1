#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>

#include "base/clock.hpp"
#include "calls/lent_bodies.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// Drafts that any thread may ask for, in the arena of the instance that sends them. Once its channels stand, that
/// instance takes nothing from its arena itself.
class CallDrafts final : public LentBodies {
public:
    /// @param owner       Rank of that instance.
    /// @param on_settled  Gets the user id of each draft that was sent and is settled; on any thread.
    CallDrafts(Rank owner, std::function<void(std::uint64_t)> on_settled)
        : owner_{owner}, on_settled_{std::move(on_settled)} {}

    /// @throws Error{exhausted} if there is no room until then, Error{invalid_input} if there can be none,
    /// Error{disconnected} after `refuse`.
    [[nodiscard]] PayloadBody* make(DType dtype, const Shape& shape, SteadyClock::time_point deadline);
    /// No more drafts. To be called before the run settles those whose bytes an answer may still point to: nobody is to
    /// write there then.
    void refuse() noexcept;
    void on_end() noexcept override;
    /// Nothing of the run is used any more but its memory.
    void close() noexcept;

    void retire(PayloadBody* body) noexcept override;
    void resolve(PayloadBody& body) override;

private:
    [[nodiscard]] Block allocate(std::unique_lock<std::mutex>& lock, std::size_t bytes,
                                 SteadyClock::time_point deadline);

    Rank owner_;
    std::function<void(std::uint64_t)> on_settled_;
    std::condition_variable freed_;
    bool refuses_ = false;
    bool tells_ = true;  // of settled ones
};

}  // namespace penstock
