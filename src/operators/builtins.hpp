#pragma once

#include <penstock/operator.hpp>

namespace penstock {

// Each is defined in the file of its operator.
void add_affine(Registry& registry);
void add_calibrate(Registry& registry);
void add_camera(Registry& registry);
void add_checksum(Registry& registry);
void add_csv_sink(Registry& registry);
void add_csv_source(Registry& registry);
void add_detector(Registry& registry);
void add_downsample(Registry& registry);
void add_file_sink(Registry& registry);
void add_file_source(Registry& registry);
void add_filter(Registry& registry);
void add_hdf5_sink(Registry& registry);
void add_hdf5_source(Registry& registry);
void add_histogram(Registry& registry);
void add_image_preprocess(Registry& registry);
void add_join(Registry& registry);
void add_jsonl_sink(Registry& registry);
void add_logistic_map(Registry& registry);
void add_merge(Registry& registry);
void add_normalize(Registry& registry);
void add_null(Registry& registry);
void add_pass(Registry& registry);
void add_pattern(Registry& registry);
void add_records(Registry& registry);
void add_scale_records(Registry& registry);
void add_sleep(Registry& registry);
void add_split(Registry& registry);
void add_square(Registry& registry);
void add_statistics(Registry& registry);
void add_sweep(Registry& registry);
void add_tee(Registry& registry);
void add_telemetry_collector(Registry& registry);  // needs HDF5
void add_telemetry_streamer(Registry& registry);
void add_threshold(Registry& registry);
void add_vector(Registry& registry);
void add_window(Registry& registry);

}  // namespace penstock
