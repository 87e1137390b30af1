#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "memory/arena.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// The transports of one process and which of them leads to whom.
class TransportSet {
public:
    /// Collective. Every pair of ranks gets the best transport that both of them can use; both decide alike.
    /// @param wanted  The transports that somebody will ask for by name, the same on all ranks.
    TransportSet(Bootstrap& bootstrap, Arena& arena, const std::vector<std::string_view>& wanted = {});
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
                 const std::vector<std::string_view>& wanted);
    [[nodiscard]] const Far* far(std::string_view name) const noexcept;

    std::vector<std::unique_ptr<Transport>> transports_;
    Transport* shm_ = nullptr;
    std::vector<Far> far_;  // the better one first
    Transport* mpi_ = nullptr;
    std::vector<std::string> no_shm_;  // by rank: why not, or empty
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

}  // namespace penstock
