#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <penstock/plan.hpp>

namespace penstock {

/// Of a node that takes as many ranks as there are.
inline constexpr std::uint32_t unlimited_room = std::numeric_limits<std::uint32_t>::max();

/// Whether any stage says where its instances are to be.
[[nodiscard]] bool asks_for_placement(const Plan& plan) noexcept;

/// "spread", "pack", "with make", "2 per node, constraint gpu"; empty for a stage that does not say.
[[nodiscard]] std::string placement_words(const StagePlacement& placement);

/// Puts every rank on a node. The coordinator is on the first one; ranks that may be anywhere fill the nodes in their
/// order, up to an even load. The same arguments give the same answer.
/// @param rooms  How many ranks each node takes.
/// @return for each rank the number of its node, from 0.
/// @throws Error{invalid_input} naming the stage that there is no room for, and how much it takes.
[[nodiscard]] std::vector<std::uint32_t> place_ranks(const Plan& plan, std::span<const std::uint32_t> rooms);

/// What stages ask for and have not got, in words, one sentence for each of them.
/// @param nodes  The name of the node of each rank.
[[nodiscard]] std::vector<std::string> misplaced_stages(const Plan& plan, std::span<const std::string> nodes);

}  // namespace penstock
