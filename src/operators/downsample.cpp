#include "kernels/downsample.hpp"

#include <cmath>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class Downsample final : public Processor {
public:
    Downsample(const Params& params, StageContext& context)
        : is_mean_{params.get<std::string>("mode") == "mean"}, malformed_{context, params} {
        for (const double factor : numbers_param(params, "factor")) {
            if (factor < 1 || factor > 1e9 || std::trunc(factor) != factor) {
                throw Error{Errc::invalid_input,
                            fmt::format("\"factor\" must have whole numbers from 1 on, not {}", factor)};
            }
            factors_.push_back(static_cast<std::size_t>(factor));
        }
        if (factors_.empty()) throw Error{Errc::invalid_input, "\"factor\" must have at least one number"};
    }

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&]<class T>(std::span<const T> x) {
            const Shape shape = in.shape();
            if (factors_.size() != 1 && factors_.size() != shape.dims()) {
                malformed_.add(in,
                               fmt::format("it has {} dimensions, \"factor\" has {}", shape.dims(), factors_.size()));
                return;
            }
            const Reduction reduction = reduction_of(shape);
            if (is_mean_) {
                auto y = out.draft<Real<T>>(reduced(reduction));
                downsample_mean(x, std::span{y.data(), y.size()}, reduction);
                emit_like(in, std::move(y), out, malformed_);
            } else {
                auto y = out.draft<T>(reduced(reduction));
                downsample_stride(x, std::span{y.data(), y.size()}, reduction);
                emit_like(in, std::move(y), out, malformed_);
            }
        });
    }

    void finish(Output&) override { malformed_.report(); }

private:
    [[nodiscard]] Reduction reduction_of(const Shape& shape) const {
        Reduction reduction{.dims = shape.dims()};
        for (std::size_t dim = 0; dim < shape.dims(); ++dim) {
            reduction.extent[dim] = shape[dim];
            reduction.factor[dim] = factors_[factors_.size() == 1 ? 0 : dim];
        }
        return reduction;
    }

    [[nodiscard]] static Shape reduced(const Reduction& reduction) {
        std::array<std::uint64_t, Shape::max_dims> extents{};
        for (std::size_t dim = 0; dim < reduction.dims; ++dim) extents[dim] = reduction.reduced(dim);
        return Shape{std::span<const std::uint64_t>{extents.data(), reduction.dims}};
    }

    std::vector<std::size_t> factors_;
    bool is_mean_;
    MalformedRecords malformed_;
};

}  // namespace

void add_downsample(Registry& registry) {
    registry.add<Downsample>({
        .name = "downsample",
        .help = "Makes arrays smaller by a factor in each dimension. A cell that the edge cuts gives an element too.",
        .input = "numbers",
        .params = {{.name = "factor",
                    .kind = ParamKind::list,
                    .help = "One for each dimension, or one for all.",
                    .fallback = ParamValue{ParamValue::List{ParamValue{std::int64_t{2}}}}},
                   {.name = "mode",
                    .kind = ParamKind::string,
                    .help = "The mean of each cell, in f32 or f64; or its first element, in the dtype it has.",
                    .fallback = ParamValue{std::string{"mean"}},
                    .choices = {"mean", "stride"}},
                   strict_param()},
    });
}

}  // namespace penstock
