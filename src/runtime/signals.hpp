#pragma once

#include <csignal>

#include "runtime/reactor.hpp"

namespace penstock {

/// Turns SIGINT, SIGTERM, SIGHUP and SIGUSR1 into a flag and a wake-up for as long as it lives. One per process at a
/// time. SIGUSR1 is the usual warning of a batch system; a process may block it until there is a watch.
class SignalWatch {
public:
    /// @param ignore_interrupt  SIGINT is ignored: whoever shares the terminal and coordinates takes it.
    SignalWatch(Reactor& reactor, bool ignore_interrupt);
    ~SignalWatch();
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;

    /// The first of them that came, or 0.
    [[nodiscard]] static int received() noexcept;
    /// How many came.
    [[nodiscard]] static int count() noexcept;

private:
    struct sigaction old_interrupt_ {};
    struct sigaction old_terminate_ {};
    struct sigaction old_hangup_ {};
    struct sigaction old_user_ {};
    struct sigaction old_child_ {};
    struct sigaction old_file_size_ {};
};

}  // namespace penstock
