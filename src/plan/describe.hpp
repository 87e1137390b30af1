#pragma once

#include <string>
#include <string_view>

#include <penstock/plan.hpp>

namespace penstock {

/// Who runs where and how the stages are joined, as tables for a terminal.
[[nodiscard]] std::string describe(const Plan& plan);

/// The same for programs, as JSON text; `plan.json` of a run directory.
[[nodiscard]] std::string plan_json(const Plan& plan);

/// "balance", "hash by id", "balance, if energy > 5, 1 of 10".
[[nodiscard]] std::string route_text(const PlannedChannel& channel);
/// "direct", "central, by value".
[[nodiscard]] std::string dispatch_text(const PlannedChannel& channel);
/// Why payloads will cross that way.
[[nodiscard]] std::string_view transport_reason(TransportKind transport) noexcept;

}  // namespace penstock
