// In place of the files that use HDF5, in a program that loads them when it needs them.
#include <utility>

#include "base/module.hpp"
#include "operators/builtins.hpp"
#include "operators/hdf5/info.hpp"
#include "operators/hdf5/module.hpp"
#include "operators/telemetry/info.hpp"

namespace penstock {
namespace {

[[nodiscard]] const hdf5::Module& hdf5_module() {
    static const auto* const loaded = static_cast<const hdf5::Module*>(load_module("hdf5", hdf5::module_entry));
    return *loaded;
}

[[nodiscard]] const Registry& operators() {
    static const Registry registry = [] {
        Registry loaded;
        hdf5_module().add_operators(loaded);
        return loaded;
    }();
    return registry;
}

void add_deferred(Registry& registry, OperatorInfo info, OperatorKind kind) {
    info.kind = kind;
    const std::string name = info.name;
    registry.add(std::move(info), [name](const Params& params, StageContext& context) {
        return operators().make(name, params, context);
    });
}

}  // namespace

void add_hdf5_sink(Registry& registry) {
    add_deferred(registry, hdf5::sink_info(), OperatorKind::sink);
}

void add_hdf5_source(Registry& registry) {
    add_deferred(registry, hdf5::source_info(), OperatorKind::source);
}

void add_telemetry_collector(Registry& registry) {
    add_deferred(registry, telemetry::collector_info(), OperatorKind::sink);
}

namespace telemetry {

std::vector<Gpu> read_gpus(const std::vector<std::string>& paths) {
    return hdf5_module().read_gpus(paths);
}

class Readings::Impl {
public:
    explicit Impl(Readings* readings) : loaded{readings} {}
    ~Impl() { hdf5_module().close_readings(loaded); }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;

    Readings* const loaded;
};

Readings::Readings(const std::vector<std::string>& paths, Query query, std::size_t at_a_time)
    : impl_{std::make_unique<Impl>(hdf5_module().open_readings(paths, std::move(query), at_a_time))} {}

Readings::~Readings() = default;

void Readings::tell(const std::function<bool(const Reading&)>& teller) {
    hdf5_module().tell_readings(*impl_->loaded, teller);
}

}  // namespace telemetry
}  // namespace penstock
