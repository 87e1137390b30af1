#pragma once

#include "launch/mpi_world.hpp"

namespace penstock::testing {

/// The job that runs this test program. Every rank runs the same tests in the same order.
[[nodiscard]] MpiWorld& world();

}  // namespace penstock::testing
