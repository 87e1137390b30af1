#include "kernels/resize_images.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"

namespace penstock {
namespace {

/// One row of results. First between two rows of the image, for as many of its columns as so many results need, then
/// between its columns: the first step is one loop over neighbours, which vectors can do.
/// @tparam Channels  0 if there is another number of them than it is made for.
template <std::size_t Channels, class T>
struct ResizeRow {
    const T* images;
    float* results;
    const ImagePlan* plan;

    /// Two rows of an image.
    struct Rows {
        const T* top;
        const T* bottom;
        float down;

        PENSTOCK_FUNCTION float at(std::size_t i) const {
            return mixed(static_cast<float>(top[i]), static_cast<float>(bottom[i]), down);
        }
    };

    /// Of the image, for each row of results.
    [[nodiscard]] std::size_t index_bytes() const {
        return plan->height * plan->width * plan->channels * sizeof(T) / plan->rows.first.size();
    }

    PENSTOCK_FUNCTION void operator()(std::size_t index) const {
        const ImagePlan::Axis& rows = plan->rows;
        const ImagePlan::Axis& columns = plan->columns;
        const std::size_t channels = Channels == 0 ? plan->channels : Channels;
        const std::size_t height = rows.first.size();
        const std::size_t width = columns.first.size();
        const T* const image = images + index / height * plan->height * plan->width * channels;
        const std::size_t row = index % height;
        const Rows from{image + rows.first[row] * plan->width * channels,
                        image + rows.second[row] * plan->width * channels, rows.share[row]};
        float* const out = results + index * width * channels;
        constexpr std::size_t lot = 64;
        constexpr std::size_t most = 1536;
        std::array<float, most> mixed_rows;
        for (std::size_t first = 0; first < width; first += lot) {
            const std::size_t end = first + lot < width ? first + lot : width;
            const std::size_t begin = columns.first[first] * channels;
            const std::size_t count = (columns.second[end - 1] + 1) * channels - begin;
            if (count <= most) {
                for (std::size_t i = 0; i < count; ++i) mixed_rows[i] = from.at(begin + i);
                const float* const source = mixed_rows.data();
                mix_columns(first, end, out, [source, begin](std::size_t i) { return source[i - begin]; });
            } else {
                mix_columns(first, end, out, [&from](std::size_t i) { return from.at(i); });
            }
        }
    }

    template <class At>
    PENSTOCK_FUNCTION void mix_columns(std::size_t begin, std::size_t end, float* out, const At& at) const {
        const std::size_t channels = Channels == 0 ? plan->channels : Channels;
        const std::size_t* const first = plan->columns.first.data();
        const std::size_t* const second = plan->columns.second.data();
        const float* const share = plan->columns.share.data();
        const float* const factor = plan->factor.data();
        const float* const offset = plan->offset.data();
        for (std::size_t column = begin; column < end; ++column) {
            const std::size_t left = first[column] * channels;
            const std::size_t right = second[column] * channels;
            for (std::size_t channel = 0; channel < channels; ++channel) {
                out[column * channels + channel] =
                    mixed(at(left + channel), at(right + channel), share[column]) * factor[channel] + offset[channel];
            }
        }
    }

    PENSTOCK_FUNCTION static float mixed(float first, float second, float share) {
        return first + (second - first) * share;
    }
};

}  // namespace

ImagePlan::Axis ImagePlan::axis(std::size_t size, std::size_t resized, std::size_t begin, std::size_t results,
                                bool is_smooth) {
    Axis axis;
    const double step = static_cast<double>(size) / static_cast<double>(resized);
    const auto last = static_cast<double>(size - 1);
    for (std::size_t i = 0; i < results; ++i) {
        const double centre = (static_cast<double>(begin + i) + 0.5) * step;
        const double place = std::clamp(is_smooth ? centre - 0.5 : std::floor(centre), 0.0, last);
        const auto first = static_cast<std::size_t>(place);
        axis.first.push_back(first);
        axis.second.push_back(is_smooth ? std::min(first + 1, size - 1) : first);
        axis.share.push_back(is_smooth ? static_cast<float>(place - std::floor(place)) : 0.0F);
    }
    return axis;
}

template <class T>
void resize_images(std::span<const T> images, std::span<float> results, const ImagePlan& plan) {
    const std::size_t image = plan.height * plan.width * plan.channels;
    const std::size_t result = plan.rows.first.size() * plan.columns.first.size() * plan.channels;
    const std::size_t count = image == 0 ? 0 : images.size() / image;
    if (images.size() != count * image || results.size() != count * result || plan.factor.size() != plan.channels ||
        plan.offset.size() != plan.channels) {
        throw Error{Errc::invalid_input, "images and results must have the sizes of their plan"};
    }
    const std::size_t rows = count * plan.rows.first.size();
    if (plan.channels == 3) {
        for_each_index(rows, ResizeRow<3, T>{images.data(), results.data(), &plan}, 16);
    } else {
        for_each_index(rows, ResizeRow<0, T>{images.data(), results.data(), &plan}, 16);
    }
}

template void resize_images(std::span<const std::uint8_t>, std::span<float>, const ImagePlan&);
template void resize_images(std::span<const float>, std::span<float>, const ImagePlan&);

}  // namespace penstock
