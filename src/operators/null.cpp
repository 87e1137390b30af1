#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/pacer.hpp"
#include "operators/pattern_fill.hpp"

namespace penstock {
namespace {

class Null final : public Sink {
public:
    Null(const Params& params, StageContext& context)
        : context_{context}, touch_{params.get<bool>("touch")}, delay_{duration_param(params, "delay")} {}

    void consume(const Payload& in) override {
        if (touch_) verify(in);
        if (delay_.count() > 0) context_.wait_until(SteadyClock::now() + delay_);
        context_.count("payloads", 1);
        context_.count("bytes", in.size_bytes());
    }

private:
    static void verify(const Payload& in) {
        const auto blob = in.bytes();
        const std::uint64_t sum = sum_words(blob);
        const auto start = in.metadata().integer(pattern_key);
        if (!start || sum == pattern_sum(blob.size(), static_cast<std::uint64_t>(*start))) return;
        const PayloadId id = in.id();
        throw Error{Errc::internal, fmt::format("payload {} of rank {} ({} bytes) does not hold what was written",
                                                id.sequence, id.instance, blob.size())};
    }

    StageContext& context_;
    bool touch_;
    SteadyClock::duration delay_;
};

}  // namespace

void add_null(Registry& registry) {
    registry.add<Null>({
        .name = "null",
        .help = "Consumes anything and keeps nothing.",
        .params = {{.name = "touch",
                    .kind = ParamKind::boolean,
                    .help = "Whether every word is read; what \"pattern\" wrote is verified.",
                    .fallback = ParamValue{true}},
                   {.name = "delay",
                    .kind = ParamKind::duration,
                    .help = "To wait at each payload.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0}},
    });
}

}  // namespace penstock
