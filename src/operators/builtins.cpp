#include "operators/builtins.hpp"

namespace penstock {

Registry Registry::with_builtins() {
    Registry registry;
    add_affine(registry);
    add_calibrate(registry);
    add_camera(registry);
    add_checksum(registry);
    add_csv_sink(registry);
    add_csv_source(registry);
    add_detector(registry);
    add_downsample(registry);
    add_file_sink(registry);
    add_file_source(registry);
    add_filter(registry);
    add_hdf5_sink(registry);
    add_hdf5_source(registry);
    add_histogram(registry);
    add_image_preprocess(registry);
    add_join(registry);
    add_jsonl_sink(registry);
    add_logistic_map(registry);
    add_merge(registry);
    add_normalize(registry);
    add_null(registry);
    add_pass(registry);
    add_pattern(registry);
    add_records(registry);
    add_scale_records(registry);
    add_sleep(registry);
    add_split(registry);
    add_square(registry);
    add_statistics(registry);
    add_sweep(registry);
    add_tee(registry);
#if defined(PENSTOCK_HAS_HDF5)
    add_telemetry_collector(registry);
#endif
    add_telemetry_streamer(registry);
    add_threshold(registry);
    add_vector(registry);
    add_window(registry);
    return registry;
}

}  // namespace penstock
