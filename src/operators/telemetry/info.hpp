#pragma once

#include <penstock/operator.hpp>

namespace penstock::telemetry {

[[nodiscard]] OperatorInfo collector_info();

}  // namespace penstock::telemetry
