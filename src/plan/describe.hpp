#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/plan.hpp>

namespace penstock {

/// The number of the node of each rank, from 0, as `place_ranks` gives it; empty if nobody knows.
using NodesOfRanks = std::span<const std::uint32_t>;

/// Who runs where and how the stages are joined, as tables for a terminal. Nodes count from 1.
[[nodiscard]] std::string describe(const Plan& plan, NodesOfRanks nodes = {});

/// The same for programs, as JSON text; `plan.json` of a run directory.
[[nodiscard]] std::string plan_json(const Plan& plan, NodesOfRanks nodes = {});

/// All phases. @param nodes  One for each of them.
[[nodiscard]] std::string describe(const Chain& chain, const std::vector<std::vector<std::uint32_t>>& nodes);
[[nodiscard]] std::string plan_json(const Chain& chain, const std::vector<std::vector<std::uint32_t>>& nodes);

/// "phase reduce (2 of 2), after make"; nothing for a plan without phases.
[[nodiscard]] std::string phase_line(const Plan& plan);
/// "balance", "hash by id", "balance, if energy > 5, 1 of 10".
[[nodiscard]] std::string route_text(const PlannedChannel& channel);
/// "direct", "central, by value".
[[nodiscard]] std::string dispatch_text(const PlannedChannel& channel);
/// "lz4 level 1, crc32c"; empty where blobs go as they are.
[[nodiscard]] std::string blob_text(const PlannedChannel& channel);
/// Why payloads will cross that way.
[[nodiscard]] std::string_view transport_reason(TransportKind transport) noexcept;

}  // namespace penstock
