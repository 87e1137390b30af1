#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/predicate.hpp"

namespace penstock {
namespace {

class Filter final : public Processor {
public:
    Filter(const Params& params, StageContext& context) : predicate_{comparison_of(params)}, context_{context} {}

    void process(const Payload& in, Output& out) override {
        if (predicate_.matches(in.metadata())) {
            out.emit(in);
        } else {
            context_.count("filtered", 1);
        }
    }

private:
    Predicate predicate_;
    StageContext& context_;
};

}  // namespace

void add_filter(Registry& registry) {
    registry.add<Filter>({
        .name = "filter",
        .help = "Hands on, by reference, the payloads whose metadata pass a comparison; counts the others as filtered.",
        .params = predicate_params(),
    });
}

}  // namespace penstock
