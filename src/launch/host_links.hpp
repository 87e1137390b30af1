#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <penstock/plan.hpp>

#include "transports/transport.hpp"

namespace penstock {

/// Which hosts of a job exchange payloads, and who watches the link between two of them. Rank 0 watches all links to
/// its own host, so those are not here. Every rank works out the same.
class HostLinks {
public:
    struct Ends {
        Rank one;
        Rank other;
        [[nodiscard]] bool operator==(const Ends&) const = default;
    };

    /// @param hosts  By rank; equal where the ranks share a host.
    HostLinks(const Plan& plan, const std::vector<std::string>& hosts);

    /// At the other end of the links that this rank watches. Each link is watched by one pair of ranks that exchange
    /// payloads over it, and the links of a host are spread over its ranks.
    [[nodiscard]] std::vector<Rank> watched_by(Rank rank) const;
    /// All pairs of ranks that exchange payloads, or what belongs to them, between the hosts of two ranks.
    [[nodiscard]] std::vector<Ends> between(Rank one, Rank other) const;

private:
    using Host = std::size_t;
    using Stage = std::uint16_t;

    [[nodiscard]] const std::vector<Rank>& ranks_of(Host host, Stage stage) const;
    [[nodiscard]] std::optional<Ends> watchers_of(Host one, Host other) const;

    std::vector<Host> host_of_;  // by rank, numbered as they appear
    Host hosts_ = 0;
    std::map<std::pair<Host, Stage>, std::vector<Rank>> ranks_;
    std::vector<std::pair<Stage, Stage>> exchanging_;  // the one upstream first
};

}  // namespace penstock
