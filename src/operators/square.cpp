#include "kernels/square.hpp"

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class SquareProcessor final : public Processor {
public:
    SquareProcessor(const Params& params, StageContext& context) : malformed_{context, params} {}

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&]<class T>(std::span<const T> x) {
            auto y = out.draft<Real<T>>(in.shape());
            square(x, {y.data(), y.size()});
            emit_like(in, std::move(y), out, malformed_);
        });
    }

    void finish(Output&) override { malformed_.report(); }

private:
    MalformedRecords malformed_;
};

}  // namespace

void add_square(Registry& registry) {
    registry.add<SquareProcessor>({
        .name = "square",
        .help = "Squares each element; f32 for f32 and integers of up to 16 bits, f64 for all others.",
        .input = "numbers",
        .output = "f32 or f64",
        .params = {strict_param()},
    });
}

}  // namespace penstock
