#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "kernels/affine.hpp"
#include "kernels/scale_by_table.hpp"
#include "kernels/statistics.hpp"
#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

/// Offsets and factors for a whole number of rows of channels, so many that the loop over them is long.
template <class R>
class ChannelTable {
public:
    [[nodiscard]] ScaleTable<R> rows(std::size_t channels, const std::vector<double>& mean,
                                     const std::vector<double>& deviation) {
        if (channels == channels_) return {offset_, factor_};
        constexpr std::size_t long_enough = 1024;
        const std::size_t width = channels * std::max<std::size_t>(1, long_enough / channels);
        offset_.resize(width);
        factor_.resize(width);
        for (std::size_t i = 0; i < width; ++i) {
            offset_[i] = static_cast<R>(mean[i % channels % mean.size()]);
            factor_[i] = static_cast<R>(1 / deviation[i % channels % deviation.size()]);
        }
        channels_ = channels;
        return {offset_, factor_};
    }

private:
    std::size_t channels_ = 0;
    std::vector<R> offset_;
    std::vector<R> factor_;
};

class Normalize final : public Processor {
public:
    Normalize(const Params& params, StageContext& context)
        : mode_{params.get<std::string>("mode")},
          mean_{numbers_param(params, "mean")},
          deviation_{numbers_param(params, "std")},
          divisor_{params.get<double>("divisor")},
          low_{params.get<double>("low")},
          high_{params.get<double>("high")},
          malformed_{context, params} {
        if (mean_.empty() != deviation_.empty()) {
            throw Error{Errc::invalid_input, "\"mean\" and \"std\" belong together; give both or neither"};
        }
        if (!mean_.empty() && mode_ != "standard") {
            throw Error{Errc::invalid_input, "\"mean\" and \"std\" need \"mode\": \"standard\""};
        }
        if (std::ranges::count(deviation_, 0.0) > 0 || divisor_ == 0) {
            throw Error{Errc::invalid_input, "\"std\" and \"divisor\" divide; they cannot be 0"};
        }
    }

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&]<class T>(std::span<const T> x) {
            if (!mean_.empty()) {
                normalize_channels(in, x, out);
                return;
            }
            auto y = out.draft<Real<T>>(in.shape());
            const Line line = line_for(x);
            affine(x, {y.data(), y.size()}, line.a, line.b);
            emit_like(in, std::move(y), out, malformed_);
        });
    }

    void finish(Output&) override { malformed_.report(); }

private:
    struct Line {
        double a;
        double b;
    };

    /// What all elements are subjected to. Where they are all equal there is nothing to stretch: they go to the middle.
    template <class T>
    [[nodiscard]] Line line_for(std::span<const T> x) const {
        if (mode_ == "divide") return {1 / divisor_, 0};
        const Statistics found = statistics(x);
        if (mode_ == "standard") {
            const double a = found.squares > 0 ? 1 / std::sqrt(found.variance()) : 0;
            return {a, -a * found.mean};
        }
        if (!(found.max > found.min)) return {0, low_};
        const double a = (high_ - low_) / (found.max - found.min);
        return {a, low_ - a * found.min};
    }

    template <class T>
    void normalize_channels(const Payload& in, std::span<const T> x, Output& out) {
        const Shape shape = in.shape();
        const std::size_t channels = shape.dims() == 0 ? 0 : shape[shape.dims() - 1];
        const auto fits = [&](const std::vector<double>& given) {
            return given.size() == 1 || given.size() == channels || x.empty();
        };
        if (!fits(mean_) || !fits(deviation_)) {
            malformed_.add(in, fmt::format("it has {} channels, \"mean\" and \"std\" have {} and {}", channels,
                                           mean_.size(), deviation_.size()));
            return;
        }
        auto y = out.draft<Real<T>>(shape);
        if (!x.empty()) {
            auto& table = std::get<ChannelTable<Real<T>>>(tables_);
            scale_by_table(x, std::span{y.data(), y.size()}, table.rows(channels, mean_, deviation_));
        }
        emit_like(in, std::move(y), out, malformed_);
    }

    std::string mode_;
    std::vector<double> mean_;
    std::vector<double> deviation_;
    double divisor_;
    double low_;
    double high_;
    std::tuple<ChannelTable<float>, ChannelTable<double>> tables_;
    MalformedRecords malformed_;
};

}  // namespace

void add_normalize(Registry& registry) {
    registry.add<Normalize>({
        .name = "normalize",
        .help = "Brings the elements of each payload to a common scale. Those that are not finite do not count and "
                "stay what they are, unless all the others are equal.",
        .input = "numbers",
        .output = "f32 or f64",
        .params = {{.name = "mode",
                    .kind = ParamKind::string,
                    .help =
                        "Zero mean and unit variance; from the smallest and largest to low and high; or a division.",
                    .fallback = ParamValue{std::string{"standard"}},
                    .choices = {"standard", "range", "divide"}},
                   {.name = "mean",
                    .kind = ParamKind::list,
                    .help = "For standard: the mean to subtract, one for all or one for each element of the last "
                            "dimension; empty takes that of the payload.",
                    .fallback = ParamValue{ParamValue::List{}}},
                   {.name = "std",
                    .kind = ParamKind::list,
                    .help = "For standard: the standard deviation to divide by, as many as of mean.",
                    .fallback = ParamValue{ParamValue::List{}}},
                   {.name = "divisor", .kind = ParamKind::number, .help = "For divide.", .fallback = ParamValue{255.0}},
                   {.name = "low",
                    .kind = ParamKind::number,
                    .help = "For range: what the smallest element becomes.",
                    .fallback = ParamValue{0.0}},
                   {.name = "high",
                    .kind = ParamKind::number,
                    .help = "For range: what the largest element becomes.",
                    .fallback = ParamValue{1.0}},
                   strict_param()},
    });
}

}  // namespace penstock
