#include "operators/builtins.hpp"

namespace penstock {

Registry Registry::with_builtins() {
    Registry registry;
    add_affine(registry);
    add_csv_sink(registry);
    add_hdf5_sink(registry);
    add_hdf5_source(registry);
    add_null(registry);
    add_pass(registry);
    add_pattern(registry);
    add_records(registry);
    add_scale_records(registry);
    add_vector(registry);
    return registry;
}

}  // namespace penstock
