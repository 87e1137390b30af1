#include "operators/telemetry/info.hpp"

namespace penstock::telemetry {

OperatorInfo collector_info() {
    return {
        .name = "telemetry_collector",
        .help = "Collects telemetry messages in an HDF5 file of GPUs and of time series, each value once.",
        .input = "application/json",
        .params = {{.name = "output",
                    .kind = ParamKind::string,
                    .help = "File to write, or to go on with; in the run's results unless it is absolute.",
                    .fallback = ParamValue{std::string{"telemetry.h5"}}},
                   {.name = "flush_interval",
                    .kind = ParamKind::duration,
                    .help = "How long a message may be kept before its values are in the file.",
                    .fallback = ParamValue{std::string{"1s"}},
                    .unit = "ms",
                    .minimum = 0}},
    };
}

}  // namespace penstock::telemetry
