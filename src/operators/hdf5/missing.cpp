// In place of the other files of this folder where HDF5 is not built in.
#include <penstock/error.hpp>

#include "operators/builtins.hpp"
#include "operators/hdf5/info.hpp"

namespace penstock {
namespace {

Operator refuse(const Params&, StageContext&) {
    throw Error{Errc::unsupported, "this build has no HDF5; install libhdf5-dev and configure again"};
}

void add_missing(Registry& registry, OperatorInfo info, OperatorKind kind) {
    info.kind = kind;
    registry.add(std::move(info), refuse);
}

}  // namespace

void add_hdf5_sink(Registry& registry) {
    add_missing(registry, hdf5::sink_info(), OperatorKind::sink);
}

void add_hdf5_source(Registry& registry) {
    add_missing(registry, hdf5::source_info(), OperatorKind::source);
}

}  // namespace penstock
