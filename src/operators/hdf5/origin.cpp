#include "operators/hdf5/origin.hpp"

#include <ctime>

#include <fmt/chrono.h>

#include <penstock/version.hpp>

#include "base/clock.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

/// "2026-05-01T12:00:00Z"
std::string utc_text(std::uint64_t ns) {
    constexpr std::uint64_t second_ns = 1'000'000'000;
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(ns / second_ns)));
}

}  // namespace

void describe_origin(hid_t file, const Origin& origin) {
    const Provenance& from = origin.provenance;
    set_attribute(file, "penstock_version", std::string{version});
    set_attribute(file, "pipeline", from.pipeline);
    set_attribute(file, "plan", from.plan);
    set_attribute(file, "run", from.run);
    set_attribute(file, "created", utc_text(wall_ns()));
    set_attribute(file, "stage", origin.stage);
    set_attribute(file, "instance", static_cast<std::uint64_t>(origin.instance));
    set_attribute(file, "instances", static_cast<std::uint64_t>(origin.instances));
    set_attribute(file, "rank", std::uint64_t{from.rank});
    set_attribute(file, "hosts", from.hosts);
    set_attribute(file, "transports", from.transports);
}

}  // namespace penstock::hdf5
