#include "kernels/logistic_map.hpp"

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class LogisticMapProcessor final : public Processor {
public:
    LogisticMapProcessor(const Params& params, StageContext& context) : context_{context}, malformed_{context, params} {
        map_.column = static_cast<std::size_t>(params.get<std::int64_t>("column"));
        map_.start = params.get<double>("start");
        map_.settle = static_cast<std::uint64_t>(params.get<std::int64_t>("settle"));
        map_.steps = static_cast<std::uint64_t>(params.get<std::int64_t>("steps"));
        map_.bins = static_cast<std::size_t>(params.get<std::int64_t>("bins"));
    }

    void process(const Payload& in, Output& out) override {
        const Shape shape = in.shape();
        if (in.dtype() != DType::f64) {
            malformed_.add(in, wrong_dtype(in, "f64"));
        } else if (shape.dims() != 2) {
            malformed_.add(in, fmt::format("it has {} dimensions; a table of points has 2", shape.dims()));
        } else if (shape[1] <= map_.column) {
            malformed_.add(in, fmt::format("its points have {} columns; \"column\" {}, counted from 0, is not there",
                                           shape[1], map_.column));
        } else if (shape.count() * sizeof(double) != in.size_bytes()) {
            malformed_.add(in, "its shape and its size disagree");
        } else {
            follow(in, shape, out);
        }
    }

    void finish(Output&) override { malformed_.report(); }

private:
    void follow(const Payload& in, const Shape& shape, Output& out) {
        const auto points = in.view<double>();
        map_.columns = shape[1];
        auto rows = out.draft<double>(Shape{shape[0], map_.row_elements()});
        follow_orbits(points, {rows.data(), rows.size()}, map_);
        rows.set("bins", map_.bins);
        rows.set("steps", map_.steps);
        context_.count("points", shape[0]);
        emit_like(in, std::move(rows), out, malformed_);
    }

    LogisticMap map_;
    StageContext& context_;
    MalformedRecords malformed_;
};

}  // namespace

void add_logistic_map(Registry& registry) {
    registry.add<LogisticMapProcessor>({
        .name = "logistic_map",
        .help =
            "Follows the logistic map x -> r x (1 - x) for each row of a table of points, one column of which is r. "
            "Makes a row of the point's own columns, the Lyapunov exponent (-inf for an orbit that meets x = 1/2), and "
            "the number of steps that end in each of the bins of x from 0 to 1. Metadata: bins, steps.",
        .input = "f64",
        .output = "f64",
        .params = {{.name = "column",
                    .kind = ParamKind::integer,
                    .help = "Of the table, which is r; counted from 0.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .minimum = 0,
                    .maximum = 1'000'000},
                   {.name = "start",
                    .kind = ParamKind::number,
                    .help = "The first x.",
                    .fallback = ParamValue{0.1},
                    .minimum = 0,
                    .maximum = 1},
                   {.name = "settle",
                    .kind = ParamKind::integer,
                    .help = "Steps before the orbit is looked at.",
                    .fallback = ParamValue{std::int64_t{1000}},
                    .minimum = 0,
                    .maximum = 1e12},
                   {.name = "steps",
                    .kind = ParamKind::integer,
                    .help = "Steps that are looked at.",
                    .fallback = ParamValue{std::int64_t{1000}},
                    .minimum = 1,
                    .maximum = 1e12},
                   {.name = "bins",
                    .kind = ParamKind::integer,
                    .help = "Of x, from 0 to 1.",
                    .fallback = ParamValue{std::int64_t{100}},
                    .minimum = 1,
                    .maximum = 1'000'000},
                   strict_param()},
    });
}

}  // namespace penstock
