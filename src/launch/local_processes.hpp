#pragma once

#include <atomic>
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

/// Ranks that are threads of this process instead. Nobody can kill a thread: it leaves when `abandon` is set.
struct LocalThreads {
    std::vector<Rank> ranks = {};
    std::atomic<bool>* abandon = nullptr;
};

/// The processes of a run on this machine: forked by the coordinator, which is their parent, and gone with it.
class LocalProcesses final : public Bootstrap, public Supervisor {
public:
    /// Starts ranks 1..ranks-1 by fork; each runs `body` and leaves with what it returns. Threads are started last, so
    /// that no child knows of them. The children live as long as the calling thread: the kernel kills them with it.
    /// @param label  Names a rank in messages.
    /// @throws Error{exhausted} if the system gives no more processes or descriptors.
    LocalProcesses(Rank ranks, std::chrono::milliseconds timeout, std::function<std::string(Rank)> label,
                   const std::function<int(Rank, Bootstrap&)>& body, const LocalThreads& threads = {});
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
    struct Thread;
    struct Child {
        pid_t pid = -1;
        File socket;
        std::unique_ptr<Thread> thread;  // instead of the process
        bool ended = false;
    };

    void start_thread(Rank rank, const std::function<int(Rank, Bootstrap&)>& body);
    [[nodiscard]] bool collect(Child& child, int& status) noexcept;

    std::chrono::milliseconds timeout_;
    std::function<std::string(Rank)> label_;
    std::vector<Child> children_;  // by rank - 1
    std::atomic<bool>* abandon_;
};

}  // namespace penstock
