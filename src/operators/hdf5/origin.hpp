#pragma once

#include <string>

#include <penstock/operator.hpp>

#include "operators/hdf5/handles.hpp"

namespace penstock::hdf5 {

/// Where a file comes from.
struct Origin {
    std::string stage;
    int instance = 0;
    int instances = 1;
    Provenance provenance;
};

/// Sets it as attributes of the root group.
void describe_origin(hid_t file, const Origin& origin);

}  // namespace penstock::hdf5
