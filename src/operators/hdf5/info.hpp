#pragma once

#include <penstock/operator.hpp>

namespace penstock::hdf5 {

// The same whether HDF5 is built in or not.
[[nodiscard]] OperatorInfo sink_info();
[[nodiscard]] OperatorInfo source_info();

}  // namespace penstock::hdf5
