#include <numeric>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/pacer.hpp"

namespace penstock {
namespace {

class Vector final : public Source {
public:
    Vector(const Params& params, StageContext& context)
        : elements_{static_cast<std::uint64_t>(params.get<std::int64_t>("elements"))},
          count_{static_cast<std::uint64_t>(params.get<std::int64_t>("count"))},
          pacer_{context, duration_param(params, "interval")} {}

    bool produce(Output& out) override {
        if ((count_ != 0 && made_ == count_) || !pacer_.wait(made_)) return false;
        auto draft = out.draft<double>(elements_);
        std::iota(draft.begin(), draft.end(), static_cast<double>(made_ * elements_));
        ++made_;
        out.emit(std::move(draft));
        return true;
    }

private:
    std::uint64_t elements_;
    std::uint64_t count_;
    Pacer pacer_;
    std::uint64_t made_ = 0;
};

}  // namespace

void add_vector(Registry& registry) {
    registry.add<Vector>({
        .name = "vector",
        .help = "Makes vectors of consecutive numbers: 0, 1, 2, ... through all payloads of an instance.",
        .output = "f64",
        .params = {{.name = "elements",
                    .kind = ParamKind::integer,
                    .help = "Numbers in a payload.",
                    .fallback = ParamValue{std::int64_t{1024}},
                    .minimum = 0,
                    .maximum = 1e12},
                   {.name = "count",
                    .kind = ParamKind::integer,
                    .help = "Payloads of each instance; 0 goes on until the run is stopped.",
                    .fallback = ParamValue{std::int64_t{100}},
                    .minimum = 0},
                   {.name = "interval",
                    .kind = ParamKind::duration,
                    .help = "From one payload to the next; 0 does not wait.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0}},
    });
}

}  // namespace penstock
