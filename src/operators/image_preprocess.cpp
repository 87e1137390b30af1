#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "kernels/resize_images.hpp"
#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class ImagePreprocess final : public Processor {
public:
    ImagePreprocess(const Params& params, StageContext& context)
        : resize_{static_cast<std::size_t>(params.get<std::int64_t>("resize"))},
          crop_{static_cast<std::size_t>(params.get<std::int64_t>("crop"))},
          is_smooth_{params.get<std::string>("interpolation") == "bilinear"},
          scale_{params.get<double>("scale")},
          mean_{numbers_param(params, "mean")},
          deviation_{numbers_param(params, "std")},
          malformed_{context, params} {
        if (mean_.empty() || deviation_.empty() || std::ranges::count(deviation_, 0.0) > 0) {
            throw Error{Errc::invalid_input,
                        "\"mean\" and \"std\" must have a number each, and \"std\" none that is 0"};
        }
    }

    void process(const Payload& in, Output& out) override {
        if (in.dtype() == DType::u8) {
            preprocess(in, in.view<std::uint8_t>(), out);
        } else if (in.dtype() == DType::f32) {
            preprocess(in, in.view<float>(), out);
        } else {
            malformed_.add(in, wrong_dtype(in, "u8 or f32"));
        }
    }

    void finish(Output&) override { malformed_.report(); }

private:
    struct Size {
        std::size_t height;
        std::size_t width;
    };

    template <class T>
    void preprocess(const Payload& in, std::span<const T> images, Output& out) {
        const Shape shape = in.shape();
        if (shape.dims() != 3 && shape.dims() != 4) {
            malformed_.add(in, fmt::format("it has {} dimensions; an image has height, width and channels, and several "
                                           "images have their number before",
                                           shape.dims()));
            return;
        }
        const std::size_t first = shape.dims() - 3;
        if (const std::string reason = plan_for({shape[first], shape[first + 1]}, shape[first + 2]); !reason.empty()) {
            malformed_.add(in, reason);
            return;
        }
        const std::uint64_t rows = plan_.rows.first.size();
        const std::uint64_t columns = plan_.columns.first.size();
        auto results = out.draft<float>(first == 0 ? Shape{rows, columns, plan_.channels}
                                                   : Shape{shape[0], rows, columns, plan_.channels});
        resize_images(images, {results.data(), results.size()}, plan_);
        emit_like(in, std::move(results), out, malformed_);
    }

    /// Plans anew for images of another size than the last ones. @return why that cannot be done, or nothing.
    [[nodiscard]] std::string plan_for(Size size, std::size_t channels) {
        if (size.height == plan_.height && size.width == plan_.width && channels == plan_.channels) return {};
        if (size.height == 0 || size.width == 0 || channels == 0) return "its images have no pixels";
        constexpr std::size_t largest = 1U << 20U;
        if (size.height > largest || size.width > largest) return "its images have more than 1048576 rows or columns";
        for (const auto* given : {&mean_, &deviation_}) {
            if (given->size() == 1 || given->size() == channels) continue;
            return fmt::format("it has {} channels, \"mean\" and \"std\" have {} and {}", channels, mean_.size(),
                               deviation_.size());
        }
        const Size resized = resized_from(size);
        const Size cropped = crop_ == 0 ? resized : Size{crop_, crop_};
        if (std::max(cropped.height, cropped.width) > largest) return "its images become too long";
        if (cropped.height > resized.height || cropped.width > resized.width) {
            return fmt::format("its images of {} x {} are smaller than \"crop\", {}", resized.height, resized.width,
                               crop_);
        }
        plan_.height = size.height;
        plan_.width = size.width;
        plan_.channels = channels;
        plan_.rows = ImagePlan::axis(size.height, resized.height, (resized.height - cropped.height) / 2, cropped.height,
                                     is_smooth_);
        plan_.columns =
            ImagePlan::axis(size.width, resized.width, (resized.width - cropped.width) / 2, cropped.width, is_smooth_);
        plan_.factor.clear();
        plan_.offset.clear();
        for (std::size_t channel = 0; channel < channels; ++channel) {
            const double deviation = deviation_[channel % deviation_.size()];
            plan_.factor.push_back(static_cast<float>(scale_ / deviation));
            plan_.offset.push_back(static_cast<float>(-mean_[channel % mean_.size()] / deviation));
        }
        return {};
    }

    /// The shorter side becomes "resize", the other one keeps the proportion.
    [[nodiscard]] Size resized_from(Size size) const {
        if (resize_ == 0) return size;
        const auto shorter = static_cast<double>(std::min(size.height, size.width));
        const auto scaled = [&](std::size_t side) {
            return static_cast<std::size_t>(
                std::llround(static_cast<double>(side) * static_cast<double>(resize_) / shorter));
        };
        return {scaled(size.height), scaled(size.width)};
    }

    std::size_t resize_;
    std::size_t crop_;
    bool is_smooth_;
    double scale_;
    std::vector<double> mean_;
    std::vector<double> deviation_;
    ImagePlan plan_;
    MalformedRecords malformed_;
};

ParamValue list(std::initializer_list<double> numbers) {
    ParamValue::List values(numbers.size());
    std::ranges::transform(numbers, values.begin(), [](double number) { return ParamValue{number}; });
    return ParamValue{std::move(values)};
}

}  // namespace

void add_image_preprocess(Registry& registry) {
    registry.add<ImagePreprocess>({
        .name = "image_preprocess",
        .help =
            "Prepares images for inference: resizes them, cuts out the centre and normalises the channels. Takes "
            "height x width x channels, or several images of that. The defaults are those of networks for ImageNet.",
        .input = "u8 or f32",
        .output = "f32",
        .params = {{.name = "resize",
                    .kind = ParamKind::integer,
                    .help = "What the shorter side becomes; 0 keeps the size.",
                    .fallback = ParamValue{std::int64_t{256}},
                    .unit = "pixels",
                    .minimum = 0,
                    .maximum = 65536},
                   {.name = "crop",
                    .kind = ParamKind::integer,
                    .help = "Sides of the square that is cut out of the centre; 0 keeps all.",
                    .fallback = ParamValue{std::int64_t{224}},
                    .unit = "pixels",
                    .minimum = 0,
                    .maximum = 65536},
                   {.name = "interpolation",
                    .kind = ParamKind::string,
                    .help = "How pixels between pixels are found.",
                    .fallback = ParamValue{std::string{"bilinear"}},
                    .choices = {"bilinear", "nearest"}},
                   {.name = "scale",
                    .kind = ParamKind::number,
                    .help = "Multiplies each value, before mean and std.",
                    .fallback = ParamValue{1.0 / 255}},
                   {.name = "mean",
                    .kind = ParamKind::list,
                    .help = "Is subtracted: one for each channel, or one for all.",
                    .fallback = list({0.485, 0.456, 0.406})},
                   {.name = "std",
                    .kind = ParamKind::list,
                    .help = "Divides: one for each channel, or one for all.",
                    .fallback = list({0.229, 0.224, 0.225})},
                   strict_param()},
    });
}

}  // namespace penstock
