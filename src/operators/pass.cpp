#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/pacer.hpp"

namespace penstock {
namespace {

class Pass final : public Processor {
public:
    Pass(const Params& params, StageContext& context) : context_{context}, delay_{duration_param(params, "delay")} {}

    void process(const Payload& in, Output& out) override {
        if (delay_.count() > 0) context_.wait_until(SteadyClock::now() + delay_);
        out.emit(in);
    }

private:
    StageContext& context_;
    SteadyClock::duration delay_;
};

}  // namespace

void add_pass(Registry& registry) {
    registry.add<Pass>({
        .name = "pass",
        .help = "Hands each payload on as it is, by reference.",
        .params = {{.name = "delay",
                    .kind = ParamKind::duration,
                    .help = "To wait at each payload.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0}},
    });
}

}  // namespace penstock
