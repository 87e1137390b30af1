#include "kernels/resize_images.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <penstock/error.hpp>

#include "kernels/parallel.hpp"

namespace penstock {
namespace {

/// One row of results. @tparam Channels  0 if there is another number of them than it is made for.
template <std::size_t Channels, class T>
struct ResizeRow {
    const T* images;
    float* results;
    const ImagePlan* plan;

    PENSTOCK_FUNCTION void operator()(std::size_t index) const {
        const ImagePlan::Axis& rows = plan->rows;
        const ImagePlan::Axis& columns = plan->columns;
        const std::size_t channels = Channels == 0 ? plan->channels : Channels;
        const std::size_t height = rows.first.size();
        const std::size_t width = columns.first.size();
        const T* const image = images + index / height * plan->height * plan->width * channels;
        const std::size_t row = index % height;
        const T* const top = image + rows.first[row] * plan->width * channels;
        const T* const bottom = image + rows.second[row] * plan->width * channels;
        const float down = rows.share[row];
        const std::size_t* const first = columns.first.data();
        const std::size_t* const second = columns.second.data();
        const float* const share = columns.share.data();
        const float* const factor = plan->factor.data();
        const float* const offset = plan->offset.data();
        float* out = results + index * width * channels;
        for (std::size_t column = 0; column < width; ++column, out += channels) {
            const std::size_t left = first[column] * channels;
            const std::size_t right = second[column] * channels;
            const float across = share[column];
            for (std::size_t channel = 0; channel < channels; ++channel) {
                const float above = mixed(top[left + channel], top[right + channel], across);
                const float below = mixed(bottom[left + channel], bottom[right + channel], across);
                out[channel] = mixed(above, below, down) * factor[channel] + offset[channel];
            }
        }
    }

    template <class V>
    PENSTOCK_FUNCTION static float mixed(V first, V second, float share) {
        return static_cast<float>(first) + (static_cast<float>(second) - static_cast<float>(first)) * share;
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
