#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memory/arena.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// The thresholds that were measured for what a transport runs on, in words; nothing if none were.
using MeasuredThresholds =
    std::function<std::optional<Thresholds>(std::string_view transport, const std::string& measured_for)>;

/// The transports of one process and which of them leads to whom.
class TransportSet {
public:
    /// Collective. Every pair of ranks gets the best transport that both of them can use; both decide alike.
    /// @param wanted    The transports that somebody will ask for by name, the same on all ranks.
    /// @param measured  Asked in rank 0 alone, which tells the others: all ranks have the same thresholds. What it
    /// throws
    ///                  comes out of here.
    TransportSet(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string_view>& wanted = {},
                 const MeasuredThresholds& measured = {});
    /// One transport that leads to all ranks.
    TransportSet(std::unique_ptr<Transport> only, Rank ranks);

    /// The transport to that rank, and in words why it is that one.
    struct Choice {
        Transport* transport;
        std::string reason;
    };
    /// @param wanted  "auto" or a transport's name. @throws Error{unsupported} if that one does not reach the rank.
    [[nodiscard]] Choice choose(Rank peer, std::string_view wanted) const;

    /// For the log: what was set up besides shared memory, or why not.
    [[nodiscard]] std::vector<std::string> notes() const;
    /// Of the transports that have any.
    [[nodiscard]] const std::vector<ThresholdsInUse>& thresholds() const noexcept { return thresholds_; }

    [[nodiscard]] Rank ranks() const noexcept { return static_cast<Rank>(no_shm_.size()); }
    [[nodiscard]] const std::vector<std::unique_ptr<Transport>>& all() const noexcept { return transports_; }

private:
    /// A transport that leads to other nodes, if it works.
    struct Far {
        std::string_view name;
        Transport* transport = nullptr;
        std::string text;     ///< What it is.
        std::string why_not;  ///< Empty: it was not tried.
    };

    void add_far(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string>& reaches,
                 const std::vector<std::string_view>& wanted, const MeasuredThresholds& measured);
    void add_mpi(Arena& arena, const std::vector<std::string>& reaches);
    /// @param answer  Of rank 0; empty: they stay as they are built in.
    void use_thresholds(Transport& transport, std::string measured_for, std::string_view answer);
    [[nodiscard]] const Far* far(std::string_view name) const noexcept;

    std::vector<std::unique_ptr<Transport>> transports_;
    Transport* shm_ = nullptr;
    std::vector<Far> far_;  // the better one first
    Transport* mpi_ = nullptr;
    std::vector<std::string> no_shm_;  // by rank: why not, or empty
    std::vector<ThresholdsInUse> thresholds_;
};

/// What this build has, for `penstock transports`.
struct TransportInfo {
    std::string_view name;
    bool built;
    std::string_view use;                    ///< What it is for.
    std::string_view remedy;                 ///< How to get it when it is not built.
    std::string here;                        ///< What it finds on this host, if it can tell.
    std::optional<bool> device_memory = {};  ///< Whether it offers to move memory of GPUs here, if it can tell.
};
[[nodiscard]] std::vector<TransportInfo> known_transports();

/// What the thresholds of that transport may be: all zero where it is not in this build. Null for one that has none.
[[nodiscard]] const ThresholdRange* threshold_range(std::string_view transport) noexcept;

}  // namespace penstock
