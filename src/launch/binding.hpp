#pragma once

#include <string>
#include <vector>

#include <penstock/runtime.hpp>

#include "base/machine.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// What the processes of a run tell each other about where they may run, before they bind themselves.
struct CpuOffer {
    std::string host;
    std::vector<int> cpus;  ///< That the process may run on.
    int threads = 0;        ///< Of its operator; 0 for a process that is not bound.

    [[nodiscard]] std::string encode() const;
    /// @throws Error{internal} for any other text.
    [[nodiscard]] static CpuOffer decode(const std::string& text);
};

/// The processors of one process.
struct Binding {
    std::vector<int> cpus = {};   ///< Empty: it stays where it is.
    std::vector<int> nodes = {};  ///< NUMA nodes that those are of.
};

/// Which processors each process of a machine gets. Processes that are neighbours in the list are neighbours there.
/// @param threads  By process; one with 0 is left where it is. Those with more have as many cores, under `Bind::core`.
/// @throws Error{invalid_input} if there are fewer cores than threads under `Bind::core`.
[[nodiscard]] std::vector<Binding> bindings(const Machine& machine, Bind bind, const std::vector<int>& threads);

/// Where this process is to run, and why.
struct Placement {
    Binding binding = {};
    std::string reason = {};  ///< Why it is, or is not, bound.
    bool is_crowded = false;  ///< The host has more processes of the run than processors for them.
};

/// @param offers  Of all processes of the run, by rank.
/// @throws as `bindings` and `Machine::here`.
[[nodiscard]] Placement place_process(Bind bind, const std::vector<CpuOffer>& offers, Rank rank);

/// Binds the calling thread, and those it starts from now on. Memory it touches first is then near it.
/// @throws Error{failed} if the system does not let it.
void bind_thread(const std::vector<int>& cpus);

}  // namespace penstock
