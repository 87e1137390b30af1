#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include <penstock/error.hpp>
#include <penstock/memory.hpp>
#include <penstock/runner.hpp>

#include "base/clock.hpp"

namespace penstock {

/// One call: shared by who waits for it and the table. Belongs to the table, which uses it again.
struct Call {
    std::condition_variable changed;
    std::uint64_t id = 0;  ///< Never 0 while it is begun.
    SteadyClock::time_point begun{};
    SteadyClock::time_point deadline{};
    std::optional<std::uint64_t> user_id;  ///< That the caller gave its draft.
    bool ended = false;
    bool held = false;       ///< By who waits for it.
    bool in_flight = false;  ///< By the table.
    Payload answer;
    std::optional<Error> failure;
};

/// The calls of a run, found by the id that travels with their payloads: a place in the table, and how often that place
/// was used. Any thread.
class CallTable {
public:
    explicit CallTable(std::size_t most_in_flight);

    /// Waits for a place until the deadline.
    /// @throws Error{timed_out}, and after `end` what it was given.
    [[nodiscard]] Call* begin(SteadyClock::time_point deadline, std::optional<std::uint64_t> user_id);

    /// The user id that the answer is to have; nothing if nobody waits for it, which is counted.
    struct Expected {
        std::optional<std::uint64_t> user_id;
    };
    [[nodiscard]] std::optional<Expected> expects(std::optional<std::uint64_t> id);
    void answer(std::uint64_t id, Payload answer);
    void fail(std::uint64_t id, const Error& error);
    /// The graph is done with it: without an answer by now there will be none.
    void settle(std::uint64_t id);
    /// Fails all that are in flight and those that come.
    void end(const Error& error);

    /// @return false if it is still under way at its deadline.
    [[nodiscard]] bool wait(Call& call);
    [[nodiscard]] bool has_ended(const Call& call);
    /// Fails it for who waits, unless it has ended meanwhile; it stays in flight.
    void give_up(Call& call, const Error& error);
    /// Its answer, or throws its failure.
    [[nodiscard]] Payload result(Call& call);
    /// Whoever waited for it has gone.
    void release(Call* call);

    [[nodiscard]] CallCounts counts();

private:
    struct Place {
        Call* call = nullptr;
        std::uint32_t uses = 0;
    };

    [[nodiscard]] Call* find(std::uint64_t id) noexcept;
    void leave(Call& call) noexcept;
    void end_one(Call& call, const Error& error);
    void recycle_if_free(Call& call) noexcept;

    std::mutex mutex_;  // for everything here and in the calls
    std::condition_variable left_;
    std::vector<Place> places_;
    std::vector<std::uint32_t> free_places_;
    std::vector<std::unique_ptr<Call>> calls_;
    std::vector<Call*> free_calls_;
    std::optional<Error> over_;
    CallCounts counts_;
};

}  // namespace penstock
