#include <algorithm>
#include <array>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/pacer.hpp"
#include "operators/random.hpp"

namespace penstock {
namespace {

constexpr std::size_t max_channels = 4;
using Colour = std::array<std::int64_t, max_channels>;

/// What the camera sees in one image.
struct Scene {
    Colour left;
    Colour right;
    Colour disc;
    std::int64_t row;  // of the disc's centre
    std::int64_t column;
    std::int64_t radius;
    std::uint64_t noise;
};

/// All in integers: the images are the same on every machine.
class Camera final : public Source {
public:
    Camera(const Params& params, StageContext& context)
        : context_{context},
          height_{params.get<std::int64_t>("height")},
          width_{params.get<std::int64_t>("width")},
          channels_{static_cast<std::size_t>(params.get<std::int64_t>("channels"))},
          batch_{static_cast<std::uint64_t>(params.get<std::int64_t>("batch"))},
          images_{static_cast<std::uint64_t>(params.get<std::int64_t>("images"))},
          noise_{params.get<std::int64_t>("noise")},
          seed_{static_cast<std::uint64_t>(params.get<std::int64_t>("seed"))},
          next_{static_cast<std::uint64_t>(context.instance())},
          pacer_{context, duration_param(params, "interval")} {}

    bool produce(Output& out) override {
        const std::uint64_t first = next_ * batch_;
        if ((images_ != 0 && first >= images_) || !pacer_.wait(next_)) return false;
        const std::uint64_t count = images_ == 0 ? batch_ : std::min(batch_, images_ - first);
        auto draft = out.draft<std::uint8_t>(
            Shape{count, static_cast<std::uint64_t>(height_), static_cast<std::uint64_t>(width_), channels_});
        std::uint8_t* at = draft.data();
        for (std::uint64_t image = first; image < first + count; ++image) at = take(scene_of(image), at);
        draft.set("first", first);
        draft.set_user_id(next_);
        out.emit(std::move(draft));
        context_.count("images", count);
        next_ += static_cast<std::uint64_t>(context_.instances());
        return true;
    }

private:
    [[nodiscard]] Scene scene_of(std::uint64_t image) const {
        Random random{seed_, image};
        const auto below = [&](std::int64_t limit) {
            return static_cast<std::int64_t>(random.next() % static_cast<std::uint64_t>(limit));
        };
        Scene scene{};
        for (Colour* colour : {&scene.left, &scene.right, &scene.disc}) {
            std::generate_n(colour->begin(), channels_, [&] { return below(256); });
        }
        // In the middle, which a crop leaves.
        scene.row = height_ / 4 + below(height_ - height_ / 2);
        scene.column = width_ / 4 + below(width_ - width_ / 2);
        scene.radius = 1 + below(std::max<std::int64_t>(std::min(height_, width_) / 3, 1));
        scene.noise = random.next();
        return scene;
    }

    /// @return the end of the image.
    std::uint8_t* take(const Scene& scene, std::uint8_t* at) const {
        std::uint64_t pixel = scene.noise;
        for (std::int64_t row = 0; row < height_; ++row) {
            const std::int64_t down = row - scene.row;
            for (std::int64_t column = 0; column < width_; ++column) {
                const std::int64_t across = column - scene.column;
                const bool is_disc = down * down + across * across <= scene.radius * scene.radius;
                std::uint64_t bits = pattern_start(pixel++);
                for (std::size_t channel = 0; channel < channels_; ++channel, bits >>= 8U) {
                    const std::int64_t clean = is_disc ? scene.disc[channel] : backdrop(scene, channel, column);
                    const auto noise = (static_cast<std::int64_t>(bits & 0xffU) * (2 * noise_ + 1) >> 8U) - noise_;
                    *at++ = static_cast<std::uint8_t>(std::clamp<std::int64_t>(clean + noise, 0, 255));
                }
            }
        }
        return at;
    }

    /// From the left colour to the right one.
    [[nodiscard]] std::int64_t backdrop(const Scene& scene, std::size_t channel, std::int64_t column) const {
        const std::int64_t last = std::max<std::int64_t>(width_ - 1, 1);
        return (scene.left[channel] * (last - column) + scene.right[channel] * column) / last;
    }

    StageContext& context_;
    std::int64_t height_;
    std::int64_t width_;
    std::size_t channels_;
    std::uint64_t batch_;
    std::uint64_t images_;
    std::int64_t noise_;
    std::uint64_t seed_;
    std::uint64_t next_;  // batch, of all instances together: this one makes every instances-th
    Pacer pacer_;
};

ParamInfo integer(std::string name, std::int64_t fallback, double minimum, double maximum, std::string help) {
    return {.name = std::move(name),
            .kind = ParamKind::integer,
            .help = std::move(help),
            .fallback = ParamValue{fallback},
            .minimum = minimum,
            .maximum = maximum};
}

}  // namespace

void add_camera(Registry& registry) {
    registry.add<Camera>({
        .name = "camera",
        .help =
            "Makes batches of images (images x height x width x channels) as of a camera: a disc in front of a "
            "backdrop "
            "that goes from one colour to another, and noise. Metadata: first, the number of the first image; the "
            "user id is the number of the batch. An image depends on its number and the parameters alone; instances "
            "share the batches.",
        .output = "u8",
        .params = {integer("height", 360, 1, 65536, "Rows of an image."),
                   integer("width", 480, 1, 65536, "Columns of an image."),
                   integer("channels", 3, 1, max_channels, "Values of a pixel."),
                   integer("batch", 8, 1, 65536, "Images in a payload; the last one may have fewer."),
                   integer("images", 64, 0, 1e12, "Of all instances together; 0 goes on until the run is stopped."),
                   integer("noise", 8, 0, 127, "By how much a value is off at most."),
                   integer("seed", 1, 0, 1e15, "Of all that is random."),
                   {.name = "interval",
                    .kind = ParamKind::duration,
                    .help = "From one batch to the next, counted over all instances; 0 does not wait.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0}},
    });
}

}  // namespace penstock
