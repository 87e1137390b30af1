#include "operators/builtins.hpp"

namespace penstock {

Registry Registry::with_builtins() {
    Registry registry;
    add_affine(registry);
    add_csv_sink(registry);
    add_csv_source(registry);
    add_file_sink(registry);
    add_file_source(registry);
    add_jsonl_sink(registry);
    add_null(registry);
    add_pass(registry);
    add_pattern(registry);
    add_records(registry);
    add_scale_records(registry);
#if defined(PENSTOCK_HAS_HDF5)
    add_telemetry_collector(registry);
#endif
    add_telemetry_streamer(registry);
    add_vector(registry);
    return registry;
}

}  // namespace penstock
