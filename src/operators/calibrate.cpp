#include <optional>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "kernels/accumulate.hpp"
#include "kernels/scale_by_table.hpp"
#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

/// The mean of some frames.
struct MeanFrame {
    std::vector<double> sum;
    std::uint64_t frames = 0;

    [[nodiscard]] double at(std::size_t pixel) const { return sum[pixel] / static_cast<double>(frames); }
};

class Calibrate final : public Processor {
public:
    Calibrate(const Params& params, StageContext& context)
        : key_{params.get<std::string>("key")},
          dark_name_{params.get<std::string>("dark")},
          flat_name_{params.get<std::string>("flat")},
          context_{context},
          malformed_{context, params} {}

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&](auto x) {
            const auto kind = in.metadata().string(key_);
            if (kind == dark_name_) {
                learn(in, x, dark_, "dark");
            } else if (kind == flat_name_) {
                learn(in, x, flat_, "flat");
            } else {
                correct(in, x, out);
            }
        });
    }

    void finish(Output&) override { malformed_.report(); }

private:
    template <class T>
    void learn(const Payload& in, std::span<const T> x, MeanFrame& mean, std::string_view counter) {
        if (!has_shape_of(in)) return;
        mean.sum.resize(x.size());
        accumulate(x, std::span<double>{mean.sum});
        ++mean.frames;
        is_table_current_ = false;
        context_.count(counter, 1);
    }

    template <class T>
    void correct(const Payload& in, std::span<const T> x, Output& out) {
        if (dark_.frames == 0) {
            malformed_.add(in, fmt::format("no dark frame (\"{}\": \"{}\") came before it", key_, dark_name_));
            return;
        }
        if (!has_shape_of(in)) return;
        if (!is_table_current_) make_table();
        auto y = out.draft<Real<T>>(in.shape());
        auto& table = std::get<Table<Real<T>>>(tables_);
        if (!x.empty()) scale_by_table(x, std::span{y.data(), y.size()}, {table.offset, table.factor});
        emit_like(in, std::move(y), out, malformed_);
    }

    /// All frames have the shape of the first one.
    [[nodiscard]] bool has_shape_of(const Payload& in) {
        if (!shape_) shape_ = in.shape();
        if (in.shape() == *shape_) return true;
        malformed_.add(in, fmt::format("its shape is [{}], that of the first frame was [{}]",
                                       fmt::join(in.shape().extents(), " x "), fmt::join(shape_->extents(), " x ")));
        return false;
    }

    /// The gain of a pixel is what it makes of light, compared with the mean of all pixels. A pixel that makes nothing
    /// of it is dead: it gives 0.
    void make_table() {
        const std::size_t pixels = dark_.sum.size();
        double mean_light = 0;
        const bool has_flat = flat_.frames > 0;
        for (std::size_t i = 0; has_flat && i < pixels; ++i) {
            mean_light += (flat_.at(i) - dark_.at(i)) / static_cast<double>(pixels);
        }
        std::uint64_t dead = 0;
        std::apply([&](auto&... table) { (table.resize(pixels), ...); }, tables_);
        for (std::size_t i = 0; i < pixels; ++i) {
            const double light = has_flat ? flat_.at(i) - dark_.at(i) : 1;
            const double factor = !has_flat ? 1 : (light > 0 ? mean_light / light : 0);
            dead += factor == 0 ? 1U : 0U;
            std::apply([&](auto&... table) { (table.set(i, dark_.at(i), factor), ...); }, tables_);
        }
        is_table_current_ = true;
        context_.log().info(fmt::format("Calibrated {} pixels from {} dark and {} flat frames; {} of them are dead",
                                        pixels, dark_.frames, flat_.frames, dead),
                            {{"pixels", static_cast<std::int64_t>(pixels)},
                             {"dark_frames", static_cast<std::int64_t>(dark_.frames)},
                             {"flat_frames", static_cast<std::int64_t>(flat_.frames)},
                             {"dead_pixels", static_cast<std::int64_t>(dead)}});
    }

    template <class R>
    struct Table {
        std::vector<R> offset;
        std::vector<R> factor;

        void resize(std::size_t pixels) {
            offset.resize(pixels);
            factor.resize(pixels);
        }
        void set(std::size_t pixel, double dark, double gain) {
            offset[pixel] = static_cast<R>(dark);
            factor[pixel] = static_cast<R>(gain);
        }
    };

    std::string key_;
    std::string dark_name_;
    std::string flat_name_;
    StageContext& context_;
    MalformedRecords malformed_;
    std::optional<Shape> shape_;
    MeanFrame dark_;
    MeanFrame flat_;
    std::tuple<Table<float>, Table<double>> tables_;
    bool is_table_current_ = false;
};

}  // namespace

void add_calibrate(Registry& registry) {
    registry.add<Calibrate>({
        .name = "calibrate",
        .help = "Corrects detector frames pixel by pixel: subtracts the pedestal, which is the mean of the dark "
                "frames, and "
                "divides by the gain, which the flat frames show. An instance learns from the dark and flat frames it "
                "receives, which it does not emit.",
        .input = "numbers",
        .output = "f32 or f64",
        .params = {{.name = "key",
                    .kind = ParamKind::string,
                    .help = "Metadata key that says what a frame is.",
                    .fallback = ParamValue{std::string{"kind"}}},
                   {.name = "dark",
                    .kind = ParamKind::string,
                    .help = "Its value for frames without light.",
                    .fallback = ParamValue{std::string{"dark"}}},
                   {.name = "flat",
                    .kind = ParamKind::string,
                    .help = "Its value for evenly lit frames. Without any, all gains are 1.",
                    .fallback = ParamValue{std::string{"flat"}}},
                   strict_param()},
    });
}

}  // namespace penstock
