#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <penstock/operator.hpp>

#include "operators/telemetry/store.hpp"

namespace penstock::hdf5 {

/// What the program needs of the files that use HDF5, which are a module of it.
struct Module {
    void (*add_operators)(Registry&);
    std::vector<telemetry::Gpu> (*read_gpus)(const std::vector<std::string>&);
    telemetry::Readings* (*open_readings)(const std::vector<std::string>&, telemetry::Query, std::size_t);
    void (*tell_readings)(telemetry::Readings&, const std::function<bool(const telemetry::Reading&)>&);
    void (*close_readings)(telemetry::Readings*);
};

constexpr const char* module_entry = "penstock_hdf5_module";

}  // namespace penstock::hdf5
