#pragma once

#include <utility>
#include <vector>

#include "transports/transport.hpp"

namespace penstock::doctor {

/// Rounds in which every rank meets every other exactly once, nobody two others in the same round (the circle method).
/// With an odd number of ranks one rests in each round.
[[nodiscard]] std::vector<std::vector<std::pair<Rank, Rank>>> tournament(Rank ranks);

}  // namespace penstock::doctor
