#include <cmath>
#include <random>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/pacer.hpp"

namespace penstock {
namespace {

class Sleep final : public Processor {
public:
    Sleep(const Params& params, StageContext& context)
        : context_{context},
          mean_{duration_param(params, "duration")},
          distribution_{params.get<std::string>("distribution")},
          random_{static_cast<std::uint64_t>(params.get<std::int64_t>("seed")) * 1'000'003 +
                  static_cast<std::uint64_t>(context.instance())} {}

    void process(const Payload& in, Output& out) override {
        const auto pause = std::chrono::duration_cast<SteadyClock::duration>(mean_ * factor());
        if (pause.count() > 0) context_.wait_until(SteadyClock::now() + pause);
        out.emit(in);
    }

private:
    /// With mean 1.
    [[nodiscard]] double factor() {
        if (distribution_ == "constant") return 1;
        // Not std::uniform_real_distribution, whose numbers differ between libraries.
        const double uniform = static_cast<double>(random_() >> 11U) * 0x1p-53;
        return distribution_ == "uniform" ? 2 * uniform : -std::log1p(-uniform);
    }

    StageContext& context_;
    SteadyClock::duration mean_;
    std::string distribution_;
    std::mt19937_64 random_;
};

}  // namespace

void add_sleep(Registry& registry) {
    registry.add<Sleep>({
        .name = "sleep",
        .help = "Stands for work that takes a while: waits at each payload, then hands it on by reference.",
        .params = {{.name = "duration",
                    .kind = ParamKind::duration,
                    .help = "Of a wait, in the mean.",
                    .fallback = ParamValue{std::int64_t{1}},
                    .unit = "ms",
                    .minimum = 0,
                    .maximum = 86'400'000},
                   {.name = "distribution",
                    .kind = ParamKind::string,
                    .help = "All the same; anything from 0 to twice the duration; or as between random arrivals.",
                    .fallback = ParamValue{std::string{"constant"}},
                    .choices = {"constant", "uniform", "exponential"}},
                   {.name = "seed",
                    .kind = ParamKind::integer,
                    .help = "Of the random waits, which differ between instances.",
                    .fallback = ParamValue{std::int64_t{1}},
                    .minimum = 0}},
    });
}

}  // namespace penstock
