#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "memory/arena.hpp"
#include "runtime/coordinator.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// The processes of a run on this machine: forked by the coordinator, which is their parent, and gone with it.
class LocalProcesses final : public Bootstrap, public Supervisor {
public:
    /// Starts ranks 1..ranks-1 by fork; each runs `body` and leaves with what it returns. Call before any thread
    /// exists.
    /// @param label  Names a rank in messages.
    /// @throws Error{exhausted} if the system gives no more processes or descriptors.
    LocalProcesses(Rank ranks, std::chrono::milliseconds timeout, std::function<std::string(Rank)> label,
                   const std::function<int(Rank, Bootstrap&)>& body);
    /// Ends what is still there.
    ~LocalProcesses() override;
    LocalProcesses(const LocalProcesses&) = delete;
    LocalProcesses& operator=(const LocalProcesses&) = delete;

    // Bootstrap, as rank 0
    [[nodiscard]] Rank rank() const noexcept override { return 0; }
    [[nodiscard]] Rank size() const noexcept override { return static_cast<Rank>(children_.size() + 1); }
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override;

    // Supervisor
    [[nodiscard]] std::vector<Lost> lost() override;

    /// Waits for all to leave; kills those that have not by then. @return how many had to be killed.
    int reap(std::chrono::milliseconds patience);

private:
    struct Child {
        pid_t pid = -1;
        File socket;
        bool ended = false;
    };

    [[nodiscard]] bool collect(Child& child, int& status) noexcept;

    std::chrono::milliseconds timeout_;
    std::function<std::string(Rank)> label_;
    std::vector<Child> children_;  // by rank - 1
};

}  // namespace penstock
