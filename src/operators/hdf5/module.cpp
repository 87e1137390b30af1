#include "operators/hdf5/module.hpp"

#include <penstock/version.hpp>

#include "operators/builtins.hpp"

using namespace penstock;

extern "C" {

extern const char* const penstock_module_version;
const char* const penstock_module_version = version.data();

extern const hdf5::Module penstock_hdf5_module;
const hdf5::Module penstock_hdf5_module{
    .add_operators =
        [](Registry& registry) {
            add_hdf5_sink(registry);
            add_hdf5_source(registry);
            add_telemetry_collector(registry);
        },
    .read_gpus = &telemetry::read_gpus,
    .open_readings =
        [](const std::vector<std::string>& paths, telemetry::Query query, std::size_t at_a_time) {
            return new telemetry::Readings{paths, std::move(query), at_a_time};
        },
    .tell_readings = [](telemetry::Readings& readings,
                        const std::function<bool(const telemetry::Reading&)>& teller) { readings.tell(teller); },
    .close_readings = [](telemetry::Readings* readings) { delete readings; },
};

}  // extern "C"
