#pragma once

#include <penstock/operator.hpp>

namespace penstock {

// Each is defined in the file of its operator.
void add_affine(Registry& registry);
void add_csv_sink(Registry& registry);
void add_hdf5_sink(Registry& registry);
void add_hdf5_source(Registry& registry);
void add_null(Registry& registry);
void add_pass(Registry& registry);
void add_pattern(Registry& registry);
void add_records(Registry& registry);
void add_scale_records(Registry& registry);
void add_vector(Registry& registry);

}  // namespace penstock
