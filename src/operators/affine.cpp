#include "kernels/affine.hpp"

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"

namespace penstock {
namespace {

class AffineProcessor final : public Processor {
public:
    explicit AffineProcessor(const Params& params) : a_{params.get<double>("a")}, b_{params.get<double>("b")} {}

    void process(const Payload& in, Output& out) override {
        if (in.dtype() == DType::f32) {
            apply<float>(in, out);
        } else {
            apply<double>(in, out);
        }
    }

private:
    template <class T>
    void apply(const Payload& in, Output& out) const {
        const auto x = in.view<T>();
        auto y = out.draft<T>(in.shape());
        affine(x, {y.data(), y.size()}, static_cast<T>(a_), static_cast<T>(b_));
        out.emit(std::move(y));
    }

    double a_;
    double b_;
};

}  // namespace

void add_affine(Registry& registry) {
    registry.add<AffineProcessor>({
        .name = "affine",
        .help = "Computes a * x + b of each element of f64 or f32 payloads.",
        .params = {{.name = "a", .kind = ParamKind::number, .help = "Factor.", .fallback = ParamValue{1.0}},
                   {.name = "b", .kind = ParamKind::number, .help = "Summand.", .fallback = ParamValue{0.0}}},
    });
}

}  // namespace penstock
