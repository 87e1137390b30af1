#include "kernels/statistics.hpp"

#include <cstring>
#include <limits>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class StatisticsProcessor final : public Processor {
public:
    StatisticsProcessor(const Params& params, StageContext& context)
        : emit_{params.get<std::string>("emit")}, context_{context}, malformed_{context, params} {}

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&](auto x) {
            const Statistics found = statistics(x);
            if (found.non_finite > 0) context_.count("non_finite", found.non_finite);
            if (emit_ == "copy") {
                emit(in, copy_of(in, out), found, out);
            } else if (emit_ == "csv") {
                emit(in, line_of(in, found, out), found, out);
            } else {
                emit(in, values_of(found, out), found, out);
            }
        });
    }

    void finish(Output&) override { malformed_.report(); }

private:
    static constexpr double none = std::numeric_limits<double>::quiet_NaN();

    static RawDraft values_of(const Statistics& found, Output& out) {
        auto values = out.draft<double>(6);
        const bool any = found.count > 0;
        values[0] = static_cast<double>(found.count);
        values[1] = static_cast<double>(found.non_finite);
        values[2] = any ? found.min : none;
        values[3] = any ? found.max : none;
        values[4] = any ? found.mean : none;
        values[5] = found.variance();
        return values;
    }

    static RawDraft line_of(const Payload& in, const Statistics& found, Output& out) {
        const bool any = found.count > 0;
        const std::string line =
            fmt::format("{},{},{},{},{},{},{}", in.id().sequence, found.count, found.non_finite, any ? found.min : none,
                        any ? found.max : none, any ? found.mean : none, found.variance());
        auto text = out.draft<char>(line.size());
        std::memcpy(text.data(), line.data(), line.size());
        text.set_format(Format::csv);
        return text;
    }

    void emit(const Payload& in, RawDraft draft, const Statistics& found, Output& out) {
        draft.set("count", found.count);
        draft.set("non_finite", found.non_finite);
        if (found.count > 0) {
            draft.set("min", found.min);
            draft.set("max", found.max);
            draft.set("mean", found.mean);
            draft.set("variance", found.variance());
        }
        emit_like(in, std::move(draft), out, malformed_);
    }

    std::string emit_;
    StageContext& context_;
    MalformedRecords malformed_;
};

}  // namespace

void add_statistics(Registry& registry) {
    registry.add<StatisticsProcessor>({
        .name = "statistics",
        .help =
            "Finds count, min, max, mean and variance (of the population) of each payload; they are in the metadata "
            "too. Elements that are not finite are counted as non_finite and left out.",
        .input = "numbers",
        .params = {{.name = "emit",
                    .kind = ParamKind::string,
                    .help = "Six values of f64 (count, non_finite, min, max, mean, variance); a line "
                            "\"payload,count,non_finite,min,max,mean,variance\"; or a copy of the payload.",
                    .fallback = ParamValue{std::string{"values"}},
                    .choices = {"values", "csv", "copy"}},
                   strict_param()},
    });
}

}  // namespace penstock
