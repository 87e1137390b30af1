#include <algorithm>
#include <cmath>
#include <vector>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/pacer.hpp"
#include "operators/random.hpp"

namespace penstock {
namespace {

class Detector final : public Source {
public:
    Detector(const Params& params, StageContext& context)
        : context_{context},
          rows_{static_cast<std::uint64_t>(params.get<std::int64_t>("rows"))},
          columns_{static_cast<std::uint64_t>(params.get<std::int64_t>("columns"))},
          dark_frames_{static_cast<std::uint64_t>(params.get<std::int64_t>("dark_frames"))},
          flat_frames_{static_cast<std::uint64_t>(params.get<std::int64_t>("flat_frames"))},
          frames_{static_cast<std::uint64_t>(params.get<std::int64_t>("frames"))},
          events_{static_cast<std::uint64_t>(params.get<std::int64_t>("events"))},
          seed_{static_cast<std::uint64_t>(params.get<std::int64_t>("seed"))},
          noise_{params.get<double>("noise")},
          amplitude_{params.get<double>("amplitude")},
          light_{params.get<double>("light")},
          next_{static_cast<std::uint64_t>(context.instance())},
          pacer_{context, duration_param(params, "interval")} {
        if (2 * events_ > rows_ * columns_) {
            throw Error{Errc::invalid_input, "\"events\" must be at most half the pixels of a frame"};
        }
        const double pedestal = params.get<double>("pedestal");
        const double pedestal_spread = params.get<double>("pedestal_spread");
        const double gain_spread = params.get<double>("gain_spread");
        Random random{seed_, 0};
        for (std::uint64_t pixel = 0; pixel < rows_ * columns_; ++pixel) {
            pedestal_.push_back(pedestal + pedestal_spread * (2 * random.uniform() - 1));
            gain_.push_back(1 + gain_spread * (2 * random.uniform() - 1));
        }
        signal_.resize(pedestal_.size());
    }

    bool produce(Output& out) override {
        if (next_ >= dark_frames_ + flat_frames_ + frames_ || !pacer_.wait(next_)) return false;
        const bool is_dark = next_ < dark_frames_;
        const bool is_flat = !is_dark && next_ < dark_frames_ + flat_frames_;
        Random random{seed_, next_ + 1};
        std::ranges::fill(signal_, is_flat ? light_ : 0.0);
        const std::uint64_t events = is_dark || is_flat ? 0 : add_events(random);
        auto draft = out.draft<std::uint16_t>(Shape{rows_, columns_});
        for (std::size_t pixel = 0; pixel < draft.size(); ++pixel) {
            const double value = pedestal_[pixel] + gain_[pixel] * signal_[pixel] + noise_ * random.noise();
            draft[pixel] = static_cast<std::uint16_t>(std::clamp(value + 0.5, 0.0, 65535.0));
        }
        draft.set("kind", is_dark ? "dark" : is_flat ? "flat" : "data");
        draft.set("frame", next_);
        draft.set("events", events);
        draft.set_user_id(next_);
        out.emit(std::move(draft));
        context_.count("frames", 1);
        context_.count("events", events);
        next_ += static_cast<std::uint64_t>(context_.instances());
        return true;
    }

private:
    /// Up to twice the mean, each in a pixel of its own. @return how many.
    std::uint64_t add_events(Random& random) {
        const auto count = static_cast<std::uint64_t>(random.uniform() * static_cast<double>(2 * events_ + 1));
        const std::uint64_t events = std::min<std::uint64_t>(count, signal_.size() / 2);
        for (std::uint64_t made = 0; made < events;) {
            auto& pixel = signal_[random.next() % signal_.size()];
            if (pixel > 0) continue;
            pixel = amplitude_ * (0.75 + 0.5 * random.uniform());
            ++made;
        }
        return events;
    }

    StageContext& context_;
    std::uint64_t rows_;
    std::uint64_t columns_;
    std::uint64_t dark_frames_;
    std::uint64_t flat_frames_;
    std::uint64_t frames_;
    std::uint64_t events_;
    std::uint64_t seed_;
    double noise_;
    double amplitude_;
    double light_;
    std::uint64_t next_;  // of all instances together: this one makes every instances-th
    Pacer pacer_;
    std::vector<double> pedestal_;
    std::vector<double> gain_;
    std::vector<double> signal_;
};

ParamInfo integer(std::string name, std::int64_t fallback, double minimum, double maximum, std::string help) {
    return {.name = std::move(name),
            .kind = ParamKind::integer,
            .help = std::move(help),
            .fallback = ParamValue{fallback},
            .minimum = minimum,
            .maximum = maximum};
}

ParamInfo level(std::string name, double fallback, std::string help) {
    return {.name = std::move(name),
            .kind = ParamKind::number,
            .help = std::move(help),
            .fallback = ParamValue{fallback},
            .unit = "counts",
            .minimum = 0,
            .maximum = 65535};
}

}  // namespace

void add_detector(Registry& registry) {
    registry.add<Detector>({
        .name = "detector",
        .help =
            "Makes frames as a pixel detector gives them: a pedestal and a gain of its own for each pixel, noise that "
            "stays below 3.5 times its standard deviation, and events in pixels of their own; first dark frames, then "
            "flat ones, then data. Metadata: kind, frame, events. The frames depend on the parameters alone; "
            "instances share them.",
        .output = "u16",
        .params = {integer("rows", 128, 1, 65536, "Rows of a frame."),
                   integer("columns", 128, 1, 65536, "Columns of a frame."),
                   integer("frames", 100, 0, 1e12, "Frames with data."),
                   integer("dark_frames", 16, 0, 1e12, "Frames without light, at the beginning."),
                   integer("flat_frames", 16, 0, 1e12, "Evenly lit frames, after the dark ones."),
                   integer("events", 8, 0, 1e6, "Of a frame, in the mean; from none to twice as many."),
                   level("amplitude", 400, "Of an event, in the mean; from 3/4 to 5/4 of it."),
                   level("pedestal", 1000, "What a pixel gives without light, in the mean."),
                   level("pedestal_spread", 100, "By how much the pedestal of a pixel differs from the mean at most."),
                   {.name = "gain_spread",
                    .kind = ParamKind::number,
                    .help = "By how much the gain of a pixel differs from 1 at most.",
                    .fallback = ParamValue{0.1},
                    .minimum = 0,
                    .maximum = 1},
                   level("noise", 5, "Standard deviation of the noise."),
                   level("light", 2000, "Of a flat frame."),
                   integer("seed", 1, 0, 1e15, "Of all that is random."),
                   {.name = "interval",
                    .kind = ParamKind::duration,
                    .help = "From one frame to the next, counted over all instances; 0 does not wait.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0}},
    });
}

}  // namespace penstock
