#include "kernels/affine.hpp"

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class AffineProcessor final : public Processor {
public:
    AffineProcessor(const Params& params, StageContext& context)
        : a_{params.get<double>("a")}, b_{params.get<double>("b")}, malformed_{context, params} {}

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&]<class T>(std::span<const T> x) {
            auto y = out.draft<Real<T>>(in.shape());
            affine(x, {y.data(), y.size()}, a_, b_);
            emit_like(in, std::move(y), out, malformed_);
        });
    }

    void finish(Output&) override { malformed_.report(); }

private:
    double a_;
    double b_;
    MalformedRecords malformed_;
};

}  // namespace

void add_affine(Registry& registry) {
    registry.add<AffineProcessor>({
        .name = "affine",
        .help = "Computes a * x + b of each element; f32 for f32 and integers of up to 16 bits, f64 for all others.",
        .input = "numbers",
        .output = "f32 or f64",
        .params = {{.name = "a", .kind = ParamKind::number, .help = "Factor.", .fallback = ParamValue{1.0}},
                   {.name = "b", .kind = ParamKind::number, .help = "Summand.", .fallback = ParamValue{0.0}},
                   strict_param()},
    });
}

}  // namespace penstock
