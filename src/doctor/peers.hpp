#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transports/transport.hpp"

namespace penstock::doctor {

struct PeerOptions {
    std::chrono::nanoseconds time = std::chrono::seconds{5};  ///< For all pairs together; at most twice that is used.
    std::chrono::nanoseconds patience = std::chrono::seconds{2};  ///< For an answer of one rank.
    /// Of each rank, as in a run: a device that cannot lock so much is not used there either.
    std::uint64_t arena_bytes = 256ULL << 20U;
    bool together = false;  ///< Pairs that have no rank in common at the same time.
};

/// From one rank to another.
struct PairFigures {
    double latency_us = 0;       ///< Half of a round trip of a small frame, the median.
    double bytes_per_s = 0;      ///< Blobs of 1 MiB that the first one fetches from the second one.
    std::string transport = {};  ///< Empty if it was not measured.
    std::string problem = {};    ///< Why not.
};

[[nodiscard]] inline bool is_measured(const PairFigures& pair) noexcept {
    return !pair.transport.empty();
}

struct PeerMatrix {
    std::vector<std::string> hosts = {};  ///< By rank.
    std::vector<PairFigures> pairs = {};  ///< By row, that is by the rank that measured.
    std::vector<std::string> notes = {};  ///< Which transports rank 0 takes, and why.

    [[nodiscard]] Rank ranks() const noexcept { return static_cast<Rank>(hosts.size()); }
    [[nodiscard]] const PairFigures& at(Rank from, Rank to) const { return pairs[std::size_t{from} * ranks() + to]; }
    [[nodiscard]] PairFigures& at(Rank from, Rank to) { return pairs[std::size_t{from} * ranks() + to]; }
    [[nodiscard]] bool is_complete() const;
};

/// Measures every pair of ranks over the transport that a run would take for it. Rank 0 says whose turn it is and
/// collects the figures; whoever does not answer in time is named and left out.
class PeerProbe {
public:
    /// Collective. @throws as `Bootstrap::allgather` and `TransportSet` do.
    PeerProbe(Bootstrap& bootstrap, const PeerOptions& options);
    ~PeerProbe();
    PeerProbe(const PeerProbe&) = delete;
    PeerProbe& operator=(const PeerProbe&) = delete;

    /// Called once by every rank. @return in rank 0 the figures, in the others nothing.
    /// @throws Error{timed_out} or Error{disconnected} in another rank than 0 that does not hear from rank 0.
    [[nodiscard]] PeerMatrix run();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock::doctor
